"""What all diffusion models share: how they are trained, and how a picture is enlarged with them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.artifact.info import DEFAULT_STEPS, SizeRules
from bitsr.common.errors import UsageError
from bitsr.common.progress import Progress
from bitsr.training.diffusion.noise_schedule import NoiseSchedule, upsample_bicubic
from bitsr.training.diffusion.tiled import sample_picture
from bitsr.training.models.network import Criterion, SuperResolutionModel

# Of a low-resolution tile: the patch that the paper trains with, so that group norms and attention see as many pixels
# as in training.
DEFAULT_TILE_PIXELS = 64 * 64

# The published training has four crops on each of four devices, which draw their timesteps apart.
CROPS_PER_TIMESTEP = 4


class DiffusionModel(SuperResolutionModel):
    """A network that predicts the noise in a picture, given its enlarged low-resolution original.

    ``forward(x, timestep)``: ``x`` (N, 6, H, W) is the enlarged picture in [0, 1] followed by x_t, both sides multiples
    of ``multiple``; ``timestep`` is an int64 tensor (1,), one for the whole batch; the noise (N, 3, H, W) comes out.
    The timesteps fall into ``time_groups`` groups with thresholds and activations of their own.
    """

    def __init__(
        self,
        *,
        scale: int,
        channels: int,
        receptive_field_radius: int,
        multiple: int,
        noise_schedule: NoiseSchedule,
        time_groups: int = 1,
    ) -> None:
        # Group norms and attention read the whole picture; the radius is how far the convolutions look.
        super().__init__(
            scale=scale, channels=channels, receptive_field_radius=receptive_field_radius, global_pooling=True
        )
        self.noise_schedule = noise_schedule
        self.multiple = multiple
        self.time_groups = time_groups

    def example_inputs(self, size: tuple[int, int, int, int]) -> tuple[Tensor, ...]:
        """Those of one step for a low-resolution picture (N, 3, H, W)."""
        batch, _, height, width = size
        return torch.empty(batch, 6, self.scale * height, self.scale * width), torch.zeros(1, dtype=torch.int64)

    def training_loss(
        self, network: nn.Module, low: Tensor, high: Tensor, *, criterion: Criterion = F.l1_loss
    ) -> Tensor:
        """The error of the predicted noise, by default the mean absolute one.

        Each :data:`CROPS_PER_TIMESTEP` crops have a random timestep.
        Source: BI-DiffSR's published options and code; thresholds and activations of one group serve an evaluation.

        Raises:
            UsageError: the pictures' sides are no multiples of ``multiple``.
        """
        if any(side % self.multiple for side in high.shape[2:]):
            raise UsageError(
                f"the crops of {self.name} are {high.shape[3]}x{high.shape[2]} pixels, expected multiples of "
                f"{self.multiple}; choose data.patch so that {self.scale} times it is one"
            )
        parts = zip(*(torch.split(pictures, CROPS_PER_TIMESTEP) for pictures in (low, high)), strict=True)
        losses = [self._noise_loss(network, *part, criterion=criterion) * (len(part[0]) / len(low)) for part in parts]
        return torch.stack(losses).sum()

    def _noise_loss(self, network: nn.Module, low: Tensor, high: Tensor, *, criterion: Criterion) -> Tensor:
        """Of crops that share a timestep."""
        timestep = torch.randint(self.noise_schedule.timesteps, (1,), device=high.device)
        noise = torch.randn_like(high)
        noisy = self.noise_schedule.add_noise(high, noise, timestep)
        condition = upsample_bicubic(low, scale=self.scale)
        return criterion(network(torch.cat([condition, noisy], dim=1), timestep).float(), noise)

    @property
    def sizes(self) -> SizeRules:
        """The only size of a low-resolution tile of a step, see :meth:`tile_sizes`."""
        return self.tile_sizes(max_pixels=DEFAULT_TILE_PIXELS)

    def tile_sizes(self, *, max_pixels: int) -> SizeRules:
        """The largest square in a budget whose enlargement the network takes, as the only size of a tile.

        Raises:
            UsageError: the budget has no room for one.
        """
        unit = self.multiple // math.gcd(self.multiple, self.scale)
        side = math.isqrt(max_pixels) // unit * unit
        if side < 1:
            raise UsageError(
                f"the pixel budget is {max_pixels}, a step of {self.name} needs {unit} x {unit} = {unit**2} pixels; "
                "raise it"
            )
        return SizeRules(min_side=side, max_pixels=side * side, multiple=side)

    def upscale(
        self, low: Tensor, *, steps: int = DEFAULT_STEPS, seed: int = 0, progress: Progress | None = None
    ) -> Tensor:
        """Sample: RGB (1, 3, H, W) in [0, 1] -> (1, 3, scale H, scale W), not clamped.

        The network sees the tiles that its artifact sees (:func:`~bitsr.training.diffusion.tiled.sample_picture`).
        """

        def predict(x: Tensor, timestep: Tensor) -> Tensor:
            noise: Tensor = self(x, timestep)
            return noise.float()

        return sample_picture(
            predict,
            low,
            scale=self.scale,
            tile=self.sizes.min_side * self.scale,
            noise_schedule=self.noise_schedule,
            steps=steps,
            seed=seed,
            progress=progress,
        )
