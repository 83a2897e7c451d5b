"""Sampling by DDIM, with the scheduler of diffusers: eta 0, no guidance."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from bitsr.artifact.info import DEFAULT_STEPS
from bitsr.common.errors import MissingExtraError, UsageError
from bitsr.common.progress import Progress
from bitsr.training.diffusion.noise_schedule import NoiseSchedule

# (x_t (1, 3, H, W), timestep) -> predicted noise of the same shape.
Denoiser = Callable[[Tensor, int], Tensor]


def ddim_scheduler(noise_schedule: NoiseSchedule, *, steps: int) -> Any:
    """``diffusers.DDIMScheduler`` set to ``steps`` steps.

    The published code leaves diffusers' defaults, which are written out here: x_0 is clipped to [-1, 1] in every step,
    the timesteps are ``0, T // steps, 2 (T // steps), ...`` backwards, and the last step goes to the clean picture.

    Raises:
        MissingExtraError: diffusers is not installed.
        UsageError: there are not that many timesteps.
    """
    if not 1 <= steps <= noise_schedule.timesteps:
        raise UsageError(f"{steps} sampling steps were asked for; the model has 1 to {noise_schedule.timesteps}")
    try:
        from diffusers import DDIMScheduler
    except ImportError as error:
        raise MissingExtraError(error.name or "diffusers", extra="diffusion", purpose="Sampling") from error
    scheduler = DDIMScheduler(
        num_train_timesteps=noise_schedule.timesteps,
        beta_start=noise_schedule.beta_start,
        beta_end=noise_schedule.beta_end,
        beta_schedule="linear",
        clip_sample=True,
        clip_sample_range=1.0,
        set_alpha_to_one=True,
        steps_offset=0,
        prediction_type="epsilon",
        timestep_spacing="leading",
    )
    scheduler.set_timesteps(steps)
    return scheduler


def sample(
    denoise: Denoiser,
    noise: Tensor,
    *,
    noise_schedule: NoiseSchedule,
    steps: int = DEFAULT_STEPS,
    progress: Progress | None = None,
) -> Tensor:
    """From ``noise`` (N, 3, H, W) to a picture of the same size, not clamped; all of it follows from the arguments.

    ``progress`` is told of the steps done after each evaluation of the network. Errors as
    :func:`ddim_scheduler`.
    """
    scheduler = ddim_scheduler(noise_schedule, steps=steps)
    x = noise
    for done, timestep in enumerate(scheduler.timesteps.tolist(), start=1):
        x = scheduler.step(denoise(x, timestep), timestep, x, eta=0.0).prev_sample
        if progress is not None:
            progress.advance(done, steps)
    return x
