"""A picture sampled with a step network that runs on tiles of one size, in each timestep."""

from collections.abc import Callable

import torch
from torch import Tensor

from bitsr.artifact.info import DEFAULT_STEPS
from bitsr.common.progress import Progress
from bitsr.training.diffusion.noise_schedule import NoiseSchedule, noise_like, upsample_bicubic
from bitsr.training.diffusion.sampling import sample

# (map (1, 6, H, W), timestep (1,) int64) -> predicted noise (1, 3, H, W), float32.
StepNetwork = Callable[[Tensor, Tensor], Tensor]
# Part of a tile's side that it shares with its neighbour, where their noise is blended.
OVERLAP = 4


def sample_picture(
    network: StepNetwork,
    low: Tensor,
    *,
    scale: int,
    tile: int,
    noise_schedule: NoiseSchedule,
    steps: int = DEFAULT_STEPS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Tensor:
    """RGB (1, 3, H, W) in [0, 1] -> (1, 3, scale H, scale W), not clamped.

    The noise is drawn once for the whole picture and depends on its size and the seed alone. In each step the network
    runs on overlapping maps of ``tile`` x ``tile`` pixels of the enlarged picture, whose results are blended linearly,
    so tiles leave no seams. They bound the memory, of which attention takes the square of a tile. A picture that is
    smaller than a tile is reflected at its right and lower border, and its noise with it: what is filled in follows
    from the picture, and leaves its own noise as it is.

    Raises:
        UsageError: a number of steps or a seed that is impossible.
        MissingExtraError: diffusers is not installed.
    """
    height, width = scale * low.shape[2], scale * low.shape[3]
    condition = reflect_to(upsample_bicubic(low, scale=scale), least=tile)
    noise = reflect_to(noise_like((len(low), 3, height, width), seed=seed), least=tile).to(low.device)

    def denoise(noisy: Tensor, timestep: int) -> Tensor:
        x = torch.cat([condition, noisy], dim=1)
        return _predict(network, x, torch.tensor([timestep], device=x.device), tile=tile)

    with torch.no_grad():
        result = sample(denoise, noise, noise_schedule=noise_schedule, steps=steps, progress=progress)
    return result[:, :, :height, :width]


def _predict(network: StepNetwork, x: Tensor, timestep: Tensor, *, tile: int) -> Tensor:
    """The noise in a map (1, 6, H, W) with sides of at least ``tile``, tile by tile."""
    if tuple(x.shape[2:]) == (tile, tile):
        return network(x.contiguous(), timestep)
    ramp = _ramp(tile).to(x.device)
    weight = ramp[:, None] * ramp[None, :]
    total, weights = torch.zeros_like(x[:, :3]), torch.zeros_like(x[:, :1])
    for top in tile_starts(x.shape[2], tile=tile):
        for left in tile_starts(x.shape[3], tile=tile):
            place = (..., slice(top, top + tile), slice(left, left + tile))
            total[place] += weight * network(x[place].contiguous(), timestep)
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


def reflect_to(x: Tensor, *, least: int) -> Tensor:
    """Reflect (N, C, H, W) at its right and lower border until both sides are at least ``least``.

    A reflection is repeated where the picture is smaller than what is missing.
    """
    for dim in (2, 3):
        side = x.shape[dim]
        period = max(2 * (side - 1), 1)
        position = torch.arange(max(side, least), device=x.device) % period
        if side < least:
            x = x.index_select(dim, torch.minimum(position, period - position) if side > 1 else position * 0)
    return x
