"""The step network of a diffusion model as an artifact: two inputs, one fixed size."""

from collections.abc import Iterator

import torch
from torch import Tensor

from bitsr.artifact.info import DiffusionFacts, SizeRules
from bitsr.training.models.diffusion import DiffusionModel

# Channels of the map: the enlarged picture and x_t.
CHANNELS = 6


def check_inputs(model: DiffusionModel, sizes: SizeRules) -> Iterator[tuple[Tensor, Tensor]]:
    """A noisy smooth picture at an early, a middle and the last timestep: map (1, 6, H, W), timestep (1,) int64."""
    side = sizes.min_side * model.scale
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.linspace(0, 6, side)[:, None], torch.linspace(0, 9, side)[None, :]
    clean = torch.stack([0.5 + 0.5 * torch.sin(rows + 0.5 * c) * torch.cos(columns - 0.3 * c) for c in range(3)])[None]
    for number in (0, model.noise_schedule.timesteps // 2, model.noise_schedule.timesteps - 1):
        timestep = torch.tensor([number])
        noise = torch.randn(1, 3, side, side, generator=generator)
        yield torch.cat([clean, model.noise_schedule.add_noise(clean, noise, timestep)], dim=1).contiguous(), timestep


def facts(model: DiffusionModel) -> DiffusionFacts:
    """What a sampler has to know of the noising process."""
    noise_schedule = model.noise_schedule
    return DiffusionFacts(
        timesteps=noise_schedule.timesteps, beta_start=noise_schedule.beta_start, beta_end=noise_schedule.beta_end
    )
