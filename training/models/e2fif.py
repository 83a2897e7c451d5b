"""E2FIF: a full-precision shortcut over every binary convolution, batch normalisation instead of scales.

Source: Lang, Zhang, Wei, "E2FIF: Push the Limit of Binarized Deep Imagery Super-resolution using End-to-end
Full-precision Information Flow", arXiv 2207.06893; topology of the published EDSR_e2fif, here for RGB.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.training.binarizers import Sign, SignWeight
from bitsr.training.layers import BinaryConv2d, SubtractMean
from bitsr.training.models.registry import ModelInfo, SuperResolutionModel, register_model

PAPER = "E2FIF, arXiv 2207.06893"


class E2fifUnit(nn.Module):
    """``y = BN(binary_conv(x) + bias) + x``. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = BinaryConv2d(
            channels, channels, 3, activation_binarizer=Sign(), weight_binarizer=SignWeight(), bias=True
        )
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) + x  # type: ignore[no-any-return]


class E2fifBlock(nn.Module):
    """Two units with LeakyReLU(0.1) on the main path between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.unit1 = E2fifUnit(channels)
        self.activation = nn.LeakyReLU(0.1)
        self.unit2 = E2fifUnit(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.unit2(self.activation(self.unit1(x)))  # type: ignore[no-any-return]


class E2fif(SuperResolutionModel):
    """Float head 3x3, binary body with a skip around it, float tail 3x3 to 3*s*s channels and pixel shuffle."""

    def __init__(self, model_id: str, scale: int, *, family: str, channels: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.scale = scale
        self.normalize = SubtractMean()
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(*(E2fifBlock(channels) for _ in range(blocks)))
        self.tail = nn.Conv2d(channels, 3 * scale**2, 3, padding=1)
        self.info = ModelInfo(
            id=model_id,
            family=family,
            scale=scale,
            channels=channels,
            blocks=blocks,
            receptive_field_radius=2 * blocks + 2,
            global_pooling=False,
            paper=PAPER,
            config={"channels": channels, "blocks": blocks},
        )

    def forward(self, x: Tensor) -> Tensor:
        head = self.head(self.normalize(x))
        return F.pixel_shuffle(self.tail(self.body(head) + head), self.scale) + self.normalize.mean


@register_model("e2fif_x{scale}")
def _e2fif(model_id: str, scale: int) -> E2fif:
    return E2fif(model_id, scale, family="e2fif")


@register_model("test_e2fif_x{scale}")
def _test_e2fif(model_id: str, scale: int) -> E2fif:
    return E2fif(model_id, scale, family="test_e2fif", channels=8, blocks=1)
