"""What all diffusion models share: how they are trained, and how a picture is enlarged with them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.artifact.info import DEFAULT_STEPS
from bitsr.common.errors import UsageError
from bitsr.common.progress import Progress
from bitsr.training.diffusion.noise_schedule import NoiseSchedule, noise_like, upsample_bicubic
from bitsr.training.diffusion.sampling import sample
from bitsr.training.models.network import SuperResolutionModel

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

    def training_loss(self, network: nn.Module, low: Tensor, high: Tensor) -> Tensor:
        """Mean absolute error of the predicted noise; each :data:`CROPS_PER_TIMESTEP` crops have a random timestep.

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
        losses = [self._noise_loss(network, *part) * (len(part[0]) / len(low)) for part in parts]
        return torch.stack(losses).sum()

    def _noise_loss(self, network: nn.Module, low: Tensor, high: Tensor) -> Tensor:
        """Of crops that share a timestep."""
        timestep = torch.randint(self.noise_schedule.timesteps, (1,), device=high.device)
        noise = torch.randn_like(high)
        noisy = self.noise_schedule.add_noise(high, noise, timestep)
        condition = upsample_bicubic(low, scale=self.scale)
        return F.l1_loss(network(torch.cat([condition, noisy], dim=1), timestep).float(), noise)

    def upscale(
        self, low: Tensor, *, steps: int = DEFAULT_STEPS, seed: int = 0, progress: Progress | None = None
    ) -> Tensor:
        """Sample: RGB (1, 3, H, W) in [0, 1] -> (1, 3, scale H, scale W), not clamped.

        The enlarged picture is reflected at its right and lower border up to a multiple of ``multiple``, as the
        published evaluation does.
        """
        scale = self.scale
        height, width = scale * low.shape[2], scale * low.shape[3]
        condition = pad_to_multiple(upsample_bicubic(low, scale=scale), multiple=self.multiple)
        noise = noise_like(tuple(condition.shape), seed=seed).to(low.device)

        def denoise(x: Tensor, timestep: int) -> Tensor:
            eps: Tensor = self(torch.cat([condition, x], dim=1), torch.tensor([timestep], device=x.device))
            return eps.float()

        return sample(denoise, noise, noise_schedule=self.noise_schedule, steps=steps, progress=progress)[
            :, :, :height, :width
        ]


def pad_to_multiple(x: Tensor, *, multiple: int, least: int = 1) -> Tensor:
    """Reflect (N, C, H, W) at its right and lower border until both sides are multiples and at least ``least``.

    A reflection is repeated where the picture is smaller than what is missing.
    """
    for dim in (2, 3):
        side = x.shape[dim]
        wanted = -(-max(side, least) // multiple) * multiple
        period = max(2 * (side - 1), 1)
        position = torch.arange(wanted, device=x.device) % period
        x = x.index_select(dim, torch.minimum(position, period - position) if side > 1 else position * 0)
    return x
