"""Sizes that a model is lowered for, and inputs that it is checked with."""

from dataclasses import dataclass

from torch import Tensor, nn

from bitsr.artifact.info import DiffusionFacts, SizeRules
from bitsr.common.errors import UsageError
from bitsr.common.tiler import DEFAULT_TILE_PIXELS
from bitsr.export import diffusion_step
from bitsr.export.verification import check_pictures
from bitsr.training.models import SuperResolutionModel
from bitsr.training.models.diffusion import DiffusionModel

# Of one input picture; a map of 64 channels takes 64 MiB then.
DEFAULT_MAX_PIXELS = DEFAULT_TILE_PIXELS


@dataclass(frozen=True)
class ExportInputs:
    """What is lowered and checked: inputs of the comparison, and the sizes where they are not free.

    ``example_inputs`` are those of the only size, ``sizes`` its rules, ``diffusion`` the facts of a step network.
    """

    channels: int
    max_pixels: int
    check_inputs: list[tuple[Tensor, ...]]
    example_inputs: tuple[Tensor, ...] | None = None
    sizes: SizeRules | None = None
    diffusion: DiffusionFacts | None = None


def make_inputs(module: nn.Module, *, in_channels: int, max_pixels: int | None) -> ExportInputs:
    """For a picture network, a network of one size, or one step of a diffusion model; as in ``export_model``."""
    if isinstance(module, SuperResolutionModel) and module.fixed_size:
        return _tile_inputs(module, max_pixels=max_pixels)
    if not isinstance(module, DiffusionModel):
        checks: list[tuple[Tensor, ...]] = [(x,) for x in check_pictures(in_channels)]
        return ExportInputs(in_channels, DEFAULT_MAX_PIXELS if max_pixels is None else max_pixels, checks)
    sizes = module.sizes if max_pixels is None else module.tile_sizes(max_pixels=max_pixels)
    checks = list(diffusion_step.check_inputs(module, sizes))
    facts = diffusion_step.facts(module)
    return ExportInputs(
        diffusion_step.CHANNELS, sizes.max_pixels, checks, example_inputs=checks[0], sizes=sizes, diffusion=facts
    )


def _tile_inputs(model: SuperResolutionModel, *, max_pixels: int | None) -> ExportInputs:
    """Of a network that takes one size alone."""
    side = model.fixed_size
    if max_pixels is not None and max_pixels < side**2:
        raise UsageError(
            f"the pixel budget is {max_pixels}, but '{model.name}' runs on tiles of {side} x {side} = {side**2} "
            "pixels; raise it, or leave it out"
        )
    checks: list[tuple[Tensor, ...]] = [(x,) for x in check_pictures(3, height=side, width=side)]
    return ExportInputs(3, side**2, checks, example_inputs=checks[0], sizes=model.sizes)
