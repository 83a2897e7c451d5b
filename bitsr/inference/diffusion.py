"""Sampling with a step network as a session, in PyTorch or from an artifact."""

import numpy as np
import torch
from numpy.typing import NDArray

from bitsr.artifact.artifact import Artifact
from bitsr.common.errors import UsageError
from bitsr.export.deploy import fold
from bitsr.export.diffusion_step import CHANNELS
from bitsr.export.memory import bytes_per_pixel
from bitsr.export.verification import run_tensors
from bitsr.inference.artifact_session import check_scale
from bitsr.inference.session import SamplingSession
from bitsr.inference.session_info import Sampling, SessionInfo
from bitsr.training.diffusion.noise_schedule import NoiseSchedule
from bitsr.training.diffusion.sampling import ddim_scheduler
from bitsr.training.diffusion.tiled import StepNetwork, sample_picture
from bitsr.training.models.diffusion import DiffusionModel

# Of the enlarged picture: condition, x_t, noise, weights and what the scheduler makes of them, float32.
_MAPS_BYTES = 4 * 24


class DiffusionSession(SamplingSession):
    """Enlarge pictures by sampling, see :func:`bitsr.training.diffusion.tiled.sample_picture`.

    Args:
        network: one step.
        tile: side of its maps in pixels of the enlarged picture.

    Raises:
        UsageError: a number of steps that the model does not have.
        MissingExtraError: diffusers is not installed.
    """

    def __init__(
        self,
        network: StepNetwork,
        info: SessionInfo,
        *,
        noise_schedule: NoiseSchedule,
        tile: int,
        sampling: Sampling,
    ) -> None:
        super().__init__(info)
        ddim_scheduler(noise_schedule, steps=sampling.steps)  # raises before the work starts
        self.sampling = sampling
        self.on_step = None
        self._network = network
        self._noise_schedule = noise_schedule
        self._tile = tile

    @classmethod
    def of_model(cls, model: DiffusionModel, *, sampling: Sampling) -> "DiffusionSession":
        """Run a trained model's deploy form in PyTorch."""
        facts = model.info
        sizes = model.sizes
        deployed = fold(model)
        example = model.example_inputs((1, 3, sizes.min_side, sizes.min_side))
        memory = bytes_per_pixel(deployed, example, pixels=sizes.min_side**2, eager=True)
        info = SessionInfo(
            model=facts.id,
            scale=facts.scale,
            runtime="eager",
            max_pixels=None,
            receptive_field_radius=facts.receptive_field_radius,
            global_pooling=True,
            bytes_per_pixel=_MAPS_BYTES * facts.scale**2,
            fixed_bytes=sizes.max_pixels * memory,
        )
        return cls(
            deployed,
            info,
            noise_schedule=model.noise_schedule,
            tile=sizes.min_side * facts.scale,
            sampling=sampling,
        )

    @classmethod
    def of_artifact(
        cls,
        artifact: Artifact,
        *,
        sampling: Sampling,
        scale: int | None = None,
        threads: int | None = None,
        runtime: str | None = None,
    ) -> "DiffusionSession":
        """Run the artifact of a step; scale, noise schedule and size come from its metadata.

        Raises:
            UsageError: ``scale`` contradicts the artifact, it is no step of a diffusion model, or of another form.
            BitsrError: see :meth:`bitsr.artifact.artifact.Artifact.load`.
        """
        facts = artifact.info
        if facts.diffusion is None:
            raise UsageError(f"{artifact.path} is no step of a diffusion model; leave --steps and --seed out")
        check_scale(artifact, scale)
        _check_form(artifact)
        info = SessionInfo(
            model=facts.model,
            scale=facts.scale,
            runtime=artifact.format.name,
            max_pixels=None,
            receptive_field_radius=facts.receptive_field_radius,
            global_pooling=True,
            bytes_per_pixel=_MAPS_BYTES * facts.scale**2,
            fixed_bytes=facts.sizes.max_pixels * facts.bytes_per_pixel,
        )
        given = facts.diffusion
        noise_schedule = NoiseSchedule(given.timesteps, given.beta_start, given.beta_end)
        return cls(
            step_network(artifact, threads=threads, runtime=runtime),
            info,
            noise_schedule=noise_schedule,
            tile=facts.sizes.min_side * facts.scale,
            sampling=sampling,
        )

    def _run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            result = sample_picture(
                self._network,
                torch.from_numpy(np.ascontiguousarray(x)),
                scale=self.info.scale,
                tile=self._tile,
                noise_schedule=self._noise_schedule,
                steps=self.sampling.steps,
                seed=self.sampling.seed,
                progress=self.on_step,
            )
        return np.asarray(result.numpy())


def _check_form(artifact: Artifact) -> None:
    """Refuse an artifact whose maps are not those that the sampling makes."""
    facts = artifact.info
    form = (facts.in_channels, facts.out_channels, facts.channel_order, facts.value_range)
    if form != (CHANNELS, 3, "RGB", (0.0, 1.0)):
        low, high = facts.value_range
        raise UsageError(
            f"{artifact.path} maps {facts.in_channels} channels to {facts.out_channels} (order: {facts.channel_order}, "
            f"values: {low:g} to {high:g}); sampling needs {CHANNELS} to 3 (order: RGB, values: 0 to 1); export the "
            "model again"
        )


def step_network(artifact: Artifact, *, threads: int | None = None, runtime: str | None = None) -> StepNetwork:
    """One step of an artifact; errors as :meth:`DiffusionSession.of_artifact`."""
    network = artifact.load(threads=threads, runtime=runtime)
    return lambda x, timestep: run_tensors(network, x, timestep)
