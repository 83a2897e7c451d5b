"""Whole steps of a diffusion model on a target, against the eager reference."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bitsr.artifact.info import ArtifactInfo
from bitsr.export.verification import agreement
from bitsr.training.models.diffusion import DiffusionModel
from bitsr.validation.parity.ops import GOLDEN_HEIGHT, GOLDEN_WIDTH, golden_picture
from bitsr.validation.parity.pictures import run_raw
from bitsr.validation.results import StepResult, finite
from bitsr.validation.targets.base import Target

# Of the noise that a step predicts, relative to the range of the reference's values. A right artifact adds float sums
# in another order, which flips a few signs near their thresholds: 60.3 dB were measured for bidiffsr_x2 (128x128, its
# learned numbers moved by 0.2), and 40 dB is what tests/families asks of x_t at every step of a sampling. The 30 dB of
# the export are for wrong programs alone, and let a wrong timestep pass: one that is wrong by 1 was measured at 36 dB,
# by 500 at 32 to 34 dB, one of another group at 23 to 24 dB (test_bidiffsr_x2, moved likewise).
MIN_STEP_PSNR_DB = 40.0


@dataclass(frozen=True)
class DiffusionStep:
    """Inputs of a step, map (1, 6, H, W) and timestep (1,) int64, and the eager noise (1, 3, H, W)."""

    x: Tensor
    timestep: Tensor
    eager: Tensor


def golden_step(model: DiffusionModel, *, seed: int, side: int, timestep: int) -> tuple[Tensor, Tensor]:
    """A golden picture beside itself with noise (1, 6, side, side), and the timestep (1,); a seed makes the same."""
    clean = golden_picture(seed=seed, height=side, width=side)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    number = torch.tensor([timestep])
    return torch.cat([clean, model.noise_schedule.add_noise(clean, noise, number)], dim=1).contiguous(), number


def replayed_step(model: DiffusionModel, *, seed: int) -> tuple[Tensor, Tensor]:
    """The inputs whose ops are replayed: small, in the middle of the sampling."""
    side = model.tile_sizes(max_pixels=GOLDEN_HEIGHT * GOLDEN_WIDTH).min_side * model.scale
    return golden_step(model, seed=seed, side=side, timestep=model.noise_schedule.timesteps // 2)


def compared_timesteps(model: DiffusionModel) -> list[int]:
    """The first of each group with thresholds of its own, and the last; the middle where there is one group."""
    noise_schedule = model.noise_schedule
    inner = (
        noise_schedule.group_starts(model.time_groups) if model.time_groups > 1 else [0, noise_schedule.timesteps // 2]
    )
    return [*inner, noise_schedule.timesteps - 1]


def make_steps(model: DiffusionModel, network: nn.Module, *, info: ArtifactInfo, seed: int) -> list[DiffusionStep]:
    """Steps of the artifact's size in eager PyTorch; ``network`` is the deploy form."""
    steps = []
    for timestep in compared_timesteps(model):
        x, number = golden_step(model, seed=seed, side=step_side(info), timestep=timestep)
        with torch.no_grad():
            steps.append(DiffusionStep(x, number, network(x, number)))
    return steps


def step_side(info: ArtifactInfo) -> int:
    """Side of the only map that a step takes."""
    return info.sizes.min_side * info.scale


def run_step(target: Target, model: str, step: DiffusionStep, *, info: ArtifactInfo) -> StepResult:
    """One step through the artifact ``model`` (its path on the target).

    Raises:
        TargetError: the run failed.
    """
    shape = (1, info.out_channels, *step.x.shape[2:])
    values = run_raw(target, model, np.asarray(step.x.numpy()), shape=shape, others=[np.asarray(step.timestep.numpy())])
    if np.isfinite(values).all():
        psnr, largest = agreement(torch.from_numpy(values.copy()), step.eager)
    else:
        psnr, largest = -np.inf, np.inf
    return StepResult(
        timestep=int(step.timestep),
        parity_psnr=finite(psnr),
        largest_difference=finite(largest),
        range=float(step.eager.max() - step.eager.min()),
    )


def disagreement(result: StepResult) -> str:
    """Why a step failed; empty where it did not."""
    if result.agreement >= MIN_STEP_PSNR_DB:
        return ""
    what = f"the step at timestep {result.timestep}: "
    if result.largest_difference is None:
        return what + "the target gave values that are no numbers"
    found = "do not agree" if result.parity_psnr is None else f"agree to {result.parity_psnr:.1f} dB"
    return (
        f"{what}target and eager {found}, expected at least {MIN_STEP_PSNR_DB:.0f} dB; they differ by at most "
        f"{result.largest_difference:.3g} where eager's values span {result.range:.3g}"
    )
