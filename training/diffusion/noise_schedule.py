"""The noising process of a diffusion model, and the picture that conditions it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bitsr.common.errors import UsageError


@dataclass(frozen=True)
class NoiseSchedule:
    """``x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps``, abar the running product of ``1 - beta``, beta linear in t.

    The defaults are those of BI-DiffSR's published code; pictures are in [0, 1].
    """

    timesteps: int = 2000
    beta_start: float = 1e-6
    beta_end: float = 1e-2

    def alphas_cumprod(self, timestep: Tensor) -> Tensor:
        """abar_t in float32 for integer timesteps of any shape."""
        betas = torch.linspace(self.beta_start, self.beta_end, self.timesteps, dtype=torch.float64)
        return torch.cumprod(1 - betas, 0).float().to(timestep.device)[timestep]

    def add_noise(self, clean: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """x_t of a batch (N, 3, H, W); ``timestep`` (1,) is the same for all of it."""
        share = self.alphas_cumprod(timestep)
        return share.sqrt() * clean + (1 - share).sqrt() * noise

    def group_starts(self, groups: int) -> list[int]:
        """First timestep of each of ``groups`` groups: group g has the timesteps with ``floor(t groups / T) = g``."""
        return [-(-group * self.timesteps // groups) for group in range(groups)]


def upsample_bicubic(low: Tensor, *, scale: int) -> Tensor:
    """The condition: bicubic enlargement with a = -0.75 and half-pixel centres, the kernel of OpenCV's INTER_CUBIC.

    (N, 3, H, W) -> (N, 3, scale H, scale W), neither rounded nor clamped.
    """
    return F.interpolate(low.float(), scale_factor=scale, mode="bicubic", align_corners=False)


def noise_like(size: tuple[int, ...], *, seed: int) -> Tensor:
    """Standard normal noise that depends on size and seed alone, on whatever device it is used later."""
    if not 0 <= seed < 2**63:
        raise UsageError(f"the seed is {seed}; expected 0 to 2^63 - 1")
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))
