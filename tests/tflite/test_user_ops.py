"""Ordinary float ops of a user's network that onnx2tf has no right form of."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bitsr
from bitsr.artifact.flatbuffer import graph_ops
from bitsr.common.errors import UsageError
from bitsr.export.capture import capture
from bitsr.export.errors import ExportError
from bitsr.export.export import export_model
from bitsr.training.models.network import SuperResolutionModel

CHANNELS = 8


class Op(nn.Module):
    def __init__(self, op: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Network(nn.Module):
    """Head, every op on what the one before it gives, tail."""

    def __init__(self, *ops: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.head = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.body = nn.Sequential(*(op if isinstance(op, nn.Module) else Op(op) for op in ops))
        self.tail = nn.Conv2d(CHANNELS, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.body(self.head(x)))


class ChannelNorm(nn.Module):
    """Layer norm of the channels, as vision transformers have it on maps."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def exported(network: nn.Module, folder: Path) -> Path:
    file = export_model(
        network.eval(), output=folder, name="ordinary", scale=1, formats=("tflite",), max_pixels=32 * 32
    ).files["tflite"]
    assert file.verification is not None
    assert file.verification.psnr > 60
    return file.path


ELEMENTWISE: list[Callable[[Tensor], Tensor]] = [
    lambda x: x.detach() + x,
    lambda x: x.masked_fill(x < 0, 0.1),
    lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
    lambda x: x - 0.5 * x.amax((2, 3), keepdim=True),
    lambda x: torch.roll(x, 1, 1),
    lambda x: x + 0.1 * x.softmax(1),
    lambda x: x + 0.1 * torch.where(x >= -0.5, torch.ones_like(x), -torch.ones_like(x)),
    lambda x: x + 0.1 * (torch.sign(x + 0.5) - x).detach(),
    lambda x: F.gelu(4 * x - 2) + F.gelu(x, approximate="tanh") + torch.erf(x),
    lambda x: F.hardswish(x) + F.silu(x) + F.mish(x) + F.elu(x),
]
MOVING: list[Callable[[Tensor], Tensor]] = [
    lambda x: F.pad(x, (1, 2, 3, 0), mode="reflect")[:, :, 3:, 1:-2],
    lambda x: x + F.pad(x, (2, 1, 0, 2), mode="replicate")[:, :, 2:, :-3],
    lambda x: x - F.pad(x, (1, 2, 3, 1), mode="circular")[:, :, :-4, 3:],
    lambda x: F.pad(F.pad(x, (1, 1, 2, 2)), (-1, -1, -3, -1)),
    lambda x: F.pad(x, (1, 2, 2, 0), mode="replicate")[:, :, : x.shape[2], : x.shape[3]],
    lambda x: x + torch.roll(x, (1, -2), (2, 3)),
    lambda x: x - 0.5 * x.flip(1) + x.flip((2, 3)),
    nn.ChannelShuffle(2),
    lambda x: F.pixel_shuffle(F.pixel_unshuffle(F.interpolate(x, scale_factor=2), 2).flip(1), 2)[:, :, ::2, 1::2],
    lambda x: F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3, stride=1) + F.max_pool2d(x, 3, 1, 1),
    nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, padding_mode="replicate", groups=2),
]
NORMS: list[Callable[[Tensor], Tensor]] = [
    ChannelNorm(),
    nn.GroupNorm(2, CHANNELS),
    lambda x: x / (x.std((2, 3), keepdim=True) + 1),
]


@pytest.mark.parametrize("ops", [ELEMENTWISE, MOVING, NORMS], ids=["elementwise", "moving", "norms"])
def test_a_tflite_of_them_computes_what_pytorch_does(tmp_path: Path, ops: list[Callable[[Tensor], Tensor]]) -> None:
    path = exported(Network(*ops), tmp_path)
    assert not any(op.custom for op in graph_ops(path.read_bytes(), name="it"))


class Bicubic(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False), 2)


class ReshapedShuffle(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        return x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, channels, height, width)


def test_a_transposed_convolution_is_converted(tmp_path: Path) -> None:
    """As a convolution and a shuffle; a stride of 2 and a mean pool keep the size."""
    exported(Network(nn.ConvTranspose2d(CHANNELS, CHANNELS, 4, stride=2, padding=1), nn.AvgPool2d(2)), tmp_path)
    # onnx2tf lifts it for the whole process, in which metadata of many brackets would then overflow the stack.
    assert sys.getrecursionlimit() < 10_000


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (Bicubic(), r"aten::upsample_bicubic2d of the module 'body\.1' .*'bilinear' or 'nearest'"),
        (ReshapedShuffle(), r"aten::\w+ of the module 'body\.1'.*nn\.ChannelShuffle instead of reshapes"),
        (Op(lambda x: torch.stack([x, 2 * x]).sum(0)), r"aten::\w+ of the module 'body\.1'.*write it with other ops"),
        (
            nn.ConvTranspose2d(CHANNELS, CHANNELS, 3, padding=1, groups=2),
            "empty graph of the network.*a convolution and nn.PixelShuffle",
        ),
    ],
)
def test_what_is_refused_is_named_with_its_module_and_a_way_out(tmp_path: Path, module: nn.Module, words: str) -> None:
    with pytest.raises(ExportError, match=words):
        exported(Network(nn.Identity(), module), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("op", "words"),
    [
        (lambda x: x.reshape(1, CHANNELS, 24, 32), "written for one size.*x.shape"),
        (
            lambda x: F.pad(x, (0, (4 - x.shape[3] % 4) % 4))[:, :, :, : x.shape[3]],
            "let no number of pixels follow from the sides|not every size fits",
        ),
        (lambda x: F.pad(x, (-8, -8, -9, -9)), r"pad of the module 'body\.1' makes the map smaller .*keep the size"),
        (lambda x: x if x.mean() > 0 else -x, r"test_user_ops\.py, line \d+: .*x\.mean\(\) > 0 else"),
    ],
)
def test_a_capture_that_fails_says_where_and_why(op: Callable[[Tensor], Tensor], words: str) -> None:
    with pytest.raises(ExportError, match=words):
        capture(Network(nn.Identity(), Op(op)).eval(), channels=3, side=32, refuse=lambda _: None)


@pytest.mark.parametrize(
    ("op", "least"),
    [
        (lambda x: x, 1),
        (lambda x: F.pad(x, (3, 3, 3, 3), mode="reflect"), 4),
        (lambda x: F.interpolate(F.max_pool2d(x, 2), scale_factor=2), 4),
        (lambda x: x[:, :, 5:-5], 16),
    ],
)
def test_the_least_side_is_found(op: Callable[[Tensor], Tensor], least: int) -> None:
    _, found = capture(Network(Op(op)).eval(), channels=3, side=32, refuse=lambda _: None)
    assert found == least


def test_a_network_that_changes_the_sides_otherwise_than_its_scale_says(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"'ordinary' makes 36x26 of 37x27 pixels, but is to be exported as x1, .*37x27"
    ):
        exported(Network(Op(lambda x: F.interpolate(F.max_pool2d(x, 2), scale_factor=2))), tmp_path)


def test_small_pictures_are_filled_up_to_the_least_side(tmp_path: Path) -> None:
    """A wide reflecting pad has a least side; pictures below it are filled, and long thin ones are cut first."""

    class Wide(SuperResolutionModel):
        def __init__(self) -> None:
            super().__init__(scale=1, channels=3, receptive_field_radius=3)
            self.conv = nn.Conv2d(3, 3, 7, padding=3, padding_mode="reflect")

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x)

    torch.manual_seed(3)
    file = export_model(Wide().eval(), output=tmp_path, name="wide", formats=("tflite",), max_pixels=1024).files[
        "tflite"
    ]
    assert file.info.sizes.min_side == 4
    with bitsr.load(file.path) as session:
        for height, width in ((1, 1), (2, 700), (900, 3), (40, 50)):
            assert session.upscale(np.full((height, width, 3), 9, np.uint8)).shape == (height, width, 3)
