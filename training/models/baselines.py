"""The methods that papers compare with, on the backbones of :mod:`bitsr.training.models.frames`.

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

from torch import nn

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
from bitsr.training.models.frames import LightFrame, SrResNetFrame
from bitsr.training.models.registry import SuperResolutionModel, register_model

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


def baseline(
    model_id: str, scale: int, method: str, *, light: bool, family: str, channels: int = 64, blocks: int = 16
) -> SuperResolutionModel:
    """A baseline by the name of its method (a key of :data:`METHODS`)."""
    paper, body = METHODS[method]
    frame = LightFrame if light else SrResNetFrame
    return frame(
        model_id,
        scale,
        body=body(channels, blocks),
        channels=channels,
        blocks=blocks,
        family=family,
        paper=paper,
        # IBTM's first convolution reaches 4 pixels and has a 3x3 behind it.
        body_radius=6 * blocks if method == "ibtm" else None,
        config={"method": method},
    )


def _register(method: str) -> None:
    @register_model(f"{method}_x{{scale}}")
    def _build(model_id: str, scale: int) -> SuperResolutionModel:
        return baseline(model_id, scale, method, light=False, family=method)

    @register_model(f"{method}_light_x{{scale}}")
    def _build_light(model_id: str, scale: int) -> SuperResolutionModel:
        return baseline(model_id, scale, method, light=True, family=f"{method}_light")


def _register_tiny(method: str, *, light: bool) -> None:
    family = f"test_{method}{'_light' if light else ''}"

    @register_model(f"{family}_x{{scale}}", scales=(2,))
    def _build(model_id: str, scale: int) -> SuperResolutionModel:
        return baseline(model_id, scale, method, light=light, family=family, channels=8, blocks=1)


for _method in METHODS:
    _register(_method)
_register_tiny("bnn", light=True)
_register_tiny("bireal", light=True)
_register_tiny("irnet", light=True)
_register_tiny("reactnet", light=False)
_register_tiny("btm", light=True)
