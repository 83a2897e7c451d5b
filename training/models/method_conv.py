"""Binary layers of other methods in the place of BI-DiffSR's: the rows of binarized SR3 that its paper compares with.

The paper does not say how it puts classification networks' layers into the UNet. Inferred: each convolution becomes
the method's layer, with the input added where the method adds it and the channels allow, on plain resampling and
concatenation. Its printed costs (4.75 M parameters and 37.75 G operations without the methods' own vectors) fit no UNet
that was tried, so these rows' costs are those of this one. Sources: see :mod:`bitsr.training.models.baseline_blocks`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from bitsr.training.binarizers import ActivationBinarizer, MeanScaleWeight, RSign, WeightBinarizer
from bitsr.training.binarizers.baselines import (
    HardTanhSign,
    HardTanhWeight,
    ProgressiveSign,
    StandardizedWeight,
    Step,
    TensorScaleWeight,
)
from bitsr.training.layers import BinaryConv2d, RPReLU


@dataclass(frozen=True)
class Method:
    """A method's layer: binarizers (of the activations by the number of channels), and what stands around them.

    ``norm``: batch normalisation before the sign or behind the convolution. ``activation``: RPReLU before or behind the
    addition of the input, which ``skip`` asks for.
    """

    activations: Callable[[int], ActivationBinarizer]
    weights: Callable[[], WeightBinarizer]
    norm: Literal["none", "before", "behind"]
    activation: Literal["none", "before", "behind"] = "none"
    skip: bool = False


METHODS: dict[str, Method] = {
    "bnn": Method(lambda _: HardTanhSign(), HardTanhWeight, norm="behind"),
    "dorefa": Method(lambda _: Step(), TensorScaleWeight, norm="before"),
    "xnor": Method(lambda _: HardTanhSign(), MeanScaleWeight, norm="before"),
    "irnet": Method(lambda _: ProgressiveSign(), StandardizedWeight, norm="behind", skip=True),
    "reactnet": Method(RSign, MeanScaleWeight, norm="behind", activation="behind", skip=True),
    "bbcu": Method(RSign, MeanScaleWeight, norm="none", activation="before", skip=True),
}


class MethodConv(nn.Module):
    """A method's layer in a UNet; the timestep is not looked at. (N, C, H, W) -> (N, out, H, W).

    XNOR-Net's K, the filtered mean of the magnitudes, is left out, as it often is.
    """

    def __init__(self, channels: int, out_channels: int, kernel_size: int, *, method: str) -> None:
        super().__init__()
        made = METHODS[method]
        self.method = method
        self.conv = BinaryConv2d(
            channels,
            out_channels,
            kernel_size,
            activation_binarizer=made.activations(channels),
            weight_binarizer=made.weights(),
        )
        self.norm = {
            "none": None,
            "before": nn.BatchNorm2d(channels),
            "behind": nn.BatchNorm2d(out_channels),
        }[made.norm]
        self.rprelu = None if made.activation == "none" else RPReLU(out_channels)
        self.skip = made.skip and channels == out_channels

    def forward(self, x: Tensor, at: Any) -> Tensor:
        made = METHODS[self.method]
        y: Tensor = self.conv(self.norm(x) if self.norm is not None and made.norm == "before" else x)
        if self.norm is not None and made.norm == "behind":
            y = self.norm(y)
        if self.rprelu is not None and made.activation == "before":
            y = self.rprelu(y)
        if self.skip:
            y = y + x
        if self.rprelu is not None and made.activation == "behind":
            y = self.rprelu(y)
        return y
