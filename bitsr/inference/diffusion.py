"""Sampling with a step network: the loop over the timesteps, with the network run tile by tile in each of them."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitsr.artifact.artifact import Artifact
from bitsr.common.errors import UsageError
from bitsr.export.deploy import fold
from bitsr.export.diffusion_step import CHANNELS, DEFAULT_TILE_PIXELS, tile_sizes
from bitsr.export.memory import bytes_per_pixel
from bitsr.export.verification import run_tensors
from bitsr.inference.artifact_session import check_scale
from bitsr.inference.session import SamplingSession
from bitsr.inference.session_info import Sampling, SessionInfo
from bitsr.training.diffusion.noise_schedule import NoiseSchedule, noise_like, upsample_bicubic
from bitsr.training.diffusion.sampling import ddim_scheduler, sample
from bitsr.training.models.diffusion import DiffusionModel, pad_to_multiple

# (map (1, 6, H, W), timestep (1,) int64) -> predicted noise (1, 3, H, W).
StepNetwork = Callable[[Tensor, Tensor], Tensor]
# Part of a tile's side that it shares with its neighbour, where their noise is blended.
OVERLAP = 4
# Of the enlarged picture: condition, x_t, noise, weights and what the scheduler makes of them, float32.
_MAPS_BYTES = 4 * 24


class DiffusionSession(SamplingSession):
    """Enlarge pictures by sampling.

    The noise is drawn once for the whole picture. In each step the network runs on overlapping tiles whose results are
    blended linearly, so tiles leave no seams. They bound the memory, of which attention takes the square of a tile.

    Args:
        network: see :data:`StepNetwork`.
        tile: longest side of its maps in pixels of the enlarged picture, a multiple of ``multiple``.
        least: their shortest side; ``tile`` where the network takes one size alone.
        multiple: what their sides are multiples of, where they are not ``tile``.

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
        least: int,
        multiple: int,
        sampling: Sampling,
    ) -> None:
        super().__init__(info)
        ddim_scheduler(noise_schedule, steps=sampling.steps)  # raises before the work starts
        self.sampling = sampling
        self.on_step = None
        self._network = network
        self._noise_schedule = noise_schedule
        self._tile = tile
        self._least = least
        self._multiple = multiple

    @classmethod
    def of_model(cls, model: DiffusionModel, *, sampling: Sampling) -> "DiffusionSession":
        """Run a trained model's deploy form in PyTorch."""
        facts = model.info
        sizes = tile_sizes(model, max_pixels=DEFAULT_TILE_PIXELS)
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
            least=1,
            multiple=model.multiple,
            sampling=sampling,
        )

    @classmethod
    def of_artifact(
        cls, artifact: Artifact, *, sampling: Sampling, scale: int | None = None, threads: int | None = None
    ) -> "DiffusionSession":
        """Run the artifact of a step; scale, noise schedule and size come from its metadata.

        Raises:
            UsageError: ``scale`` contradicts the artifact, it is no step of a diffusion model, or of another form.
            BitsrError: see :meth:`bitsr.artifact.formats.ArtifactFormat.load`.
        """
        facts = artifact.info
        if facts.diffusion is None:
            raise UsageError(f"{artifact.path} is no step of a diffusion model; leave --steps and --seed out")
        check_scale(artifact, scale)
        _check_form(artifact)
        tile = facts.sizes.min_side * facts.scale
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
            step_network(artifact, threads=threads),
            info,
            noise_schedule=noise_schedule,
            tile=tile,
            least=tile,
            multiple=1,
            sampling=sampling,
        )

    def _run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        scale = self.info.scale
        height, width = scale * x.shape[2], scale * x.shape[3]
        condition = upsample_bicubic(torch.from_numpy(np.ascontiguousarray(x)), scale=scale)
        condition = pad_to_multiple(condition, multiple=self._multiple, least=self._least)
        noise = noise_like(tuple(condition.shape), seed=self.sampling.seed)

        def denoise(noisy: Tensor, timestep: int) -> Tensor:
            return self._predict(torch.cat([condition, noisy], dim=1), torch.tensor([timestep]))

        with torch.inference_mode():
            result = sample(
                denoise, noise, noise_schedule=self._noise_schedule, steps=self.sampling.steps, progress=self.on_step
            )
        return np.asarray(result[:, :, :height, :width].numpy())

    def _predict(self, x: Tensor, timestep: Tensor) -> Tensor:
        """The noise in a map (1, 6, H, W) of any size, tile by tile."""
        if max(x.shape[2:]) <= self._tile:
            return self._network(x.contiguous(), timestep)
        height, width = (min(side, self._tile) for side in x.shape[2:])
        weight = _ramp(height)[:, None] * _ramp(width)[None, :]
        total, weights = torch.zeros_like(x[:, :3]), torch.zeros_like(x[:, :1])
        for top in tile_starts(x.shape[2], tile=height):
            for left in tile_starts(x.shape[3], tile=width):
                place = (..., slice(top, top + height), slice(left, left + width))
                total[place] += weight * self._network(x[place].contiguous(), timestep)
                weights[place] += weight
        return total / weights


def _ramp(length: int) -> Tensor:
    """Weights of a tile's rows or columns: they rise and fall at its ends, over the part that it shares."""
    ramp = torch.arange(length).add(1).float()
    return torch.minimum(torch.minimum(ramp, ramp.flip(0)), torch.tensor(max(length // OVERLAP, 1.0)))


def tile_starts(length: int, *, tile: int) -> list[int]:
    """Evenly spread first pixels of the fewest tiles that cover ``length`` and share a part of :data:`OVERLAP`."""
    step = tile - tile // OVERLAP
    count = 1 + max(0, -(-(length - tile) // step))
    return [round(i * (length - tile) / max(count - 1, 1)) for i in range(count)]


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


def step_network(artifact: Artifact, *, threads: int | None = None) -> StepNetwork:
    """One step of an artifact; errors as :meth:`DiffusionSession.of_artifact`."""
    network = artifact.load(threads=threads)
    return lambda x, timestep: run_tensors(network, x, timestep)
