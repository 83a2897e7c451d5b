"""The methods that papers compare with, on the backbones of :mod:`bitsr.training.models.backbones`.

``METHOD_x2`` is SRResNet with a binary body and float head, upsampler and tail, as in the tables of BBCU (18.55 G at
x2 for all of them); ``METHOD_light_x2`` is the light backbone of E2FIF and EBSR. No input amplification in either.
XNOR-Net, DoReFa, BAM and IBTM are for comparison in training: :data:`TRAINING_ONLY` says why they have no deploy form.

The papers' tables do not say how they put classification networks into SRResNet; what is done here is in the
docstrings of :mod:`bitsr.training.models.baseline_blocks`. Every method gets the backbone's own normalisation of the
input and its float upsampler: BTM's mean and deviation of the data are not known here, and its upsampler with binary
weights and float activations would not be the tables' 18.55 G. ReActNet's two-step training and IBTM's distillation are
no part of the models.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from bitsr.training.models.backbones import LightBackbone, SrResNet
from bitsr.training.models.baseline_blocks import (
    BamBody,
    BnnBlock,
    BtmBlock,
    DorefaUnit,
    IbtmBlock,
    ReactnetBody,
    ReactnetUnit,
    SkipUnit,
    TwoUnits,
    XnorUnit,
)
from bitsr.training.models.network import SuperResolutionModel
from bitsr.training.models.registry import register_model

TRAINING_ONLY = {
    "xnor": "K, the filtered mean of |activations|, multiplies every output pixel and depends on the picture",
    "dorefa": "activations of 0 and 1 make the sum depend on which taps lie beyond the border",
    "bam": "accumulated activations are float maps beside the trunk",
    "ibtm": "its 1x5 and 5x1 convolutions with dilation are no op of the kernels",
}


def _blocks(block: Callable[[int], nn.Module]) -> Callable[[int, int], nn.Module]:
    return lambda channels, blocks: nn.Sequential(*(block(channels) for _ in range(blocks)))


def _units(unit: Callable[[int], nn.Module]) -> Callable[[int, int], nn.Module]:
    return lambda channels, blocks: nn.Sequential(*(unit(channels) for _ in range(2 * blocks)))


METHODS: dict[str, tuple[str, Callable[[int, int], nn.Module]]] = {
    "bnn": ("BNN, NeurIPS 2016", _blocks(BnnBlock)),
    "xnor": ("XNOR-Net, ECCV 2016", _blocks(lambda c: TwoUnits(XnorUnit(c), XnorUnit(c)))),
    "dorefa": ("DoReFa-Net, arXiv 1606.06160", _blocks(lambda c: TwoUnits(DorefaUnit(c), DorefaUnit(c)))),
    "bireal": ("Bi-Real Net, ECCV 2018", _units(lambda c: SkipUnit(c, progressive=False))),
    "irnet": ("IR-Net, CVPR 2020", _units(lambda c: SkipUnit(c, progressive=True))),
    "reactnet": (
        "ReActNet, ECCV 2020",
        lambda channels, blocks: ReactnetBody(*(ReactnetUnit(channels) for _ in range(2 * blocks))),
    ),
    "bam": ("BAM, ECCV 2020", BamBody),
    "btm": ("BTM, AAAI 2021", _blocks(BtmBlock)),
    "ibtm": ("IBTM, AAAI 2021", _blocks(IbtmBlock)),
}


@dataclass(frozen=True)
class BaselineConfig:
    """A method (a key of :data:`METHODS`), its backbone (light, or SRResNet) and shape."""

    method: str
    light: bool = False
    channels: int = 64
    blocks: int = 16


def baseline(scale: int, config: BaselineConfig) -> SuperResolutionModel:
    """A method's body on its backbone."""
    _, body = METHODS[config.method]
    backbone = LightBackbone if config.light else SrResNet
    return backbone(body(config.channels, config.blocks), channels=config.channels, scale=scale)


_TINY = (
    BaselineConfig("bnn", light=True, channels=8, blocks=1),
    BaselineConfig("bireal", light=True, channels=8, blocks=1),
    BaselineConfig("irnet", light=True, channels=8, blocks=1),
    BaselineConfig("reactnet", channels=8, blocks=1),
    BaselineConfig("btm", light=True, channels=8, blocks=1),
)

for _method, (_paper, _) in METHODS.items():
    register_model(f"{_method}_x{{scale}}", paper=_paper, config=BaselineConfig(_method))(baseline)
    register_model(f"{_method}_light_x{{scale}}", paper=_paper, config=BaselineConfig(_method, light=True))(baseline)
# The rows of EBSR's table 7, of 256 channels and 32 blocks.
for _method in ("bnn", "bireal", "ibtm"):
    register_model(
        f"{_method}_large_x{{scale}}",
        paper=METHODS[_method][0],
        config=BaselineConfig(_method, light=True, channels=256, blocks=32),
    )(baseline)
for _config in _TINY:
    register_model(
        f"test_{_config.method}{'_light' if _config.light else ''}_x{{scale}}",
        scales=(2,),
        paper=METHODS[_config.method][0],
        config=_config,
    )(baseline)
