"""Float networks that are written without a converter: LiteRT computes of them what PyTorch computes."""

import math

import pytest
import torch
from torch import Tensor, nn

import bitsr.export.ops  # noqa: F401 (registers the ops)
from bitsr.export.capture import capture
from bitsr.export.deploy import deploy_form
from bitsr.export.tflite.from_convolutions import from_convolutions
from bitsr.runtime.litert import TfliteNetwork
from bitsr.training.models import create_model
from bitsr.validation.timing.float_twin import float_twin

SIDE = 64


class Upsampler(nn.Module):
    """Two convolutions with a residual, and a pixel shuffle with or without the picture itself."""

    def __init__(self, *, scale: int, skip: bool) -> None:
        super().__init__()
        self.scale, self.skip = scale, skip
        self.head = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Conv2d(8, 8, 1, bias=False)
        self.tail = nn.Conv2d(8, 3 * scale**2, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x)
        y = self.tail(self.body(y) + y)
        return torch.ops.bitsr.pixel_shuffle(y, x if self.skip else None, self.scale)


def written(module: nn.Module) -> bytes | None:
    captured, _ = capture(module, channels=3, side=SIDE, refuse=lambda _: None)
    return from_convolutions(captured)


def check(module: nn.Module) -> None:
    content = written(module)
    assert content is not None
    network = TfliteNetwork(content, name="net.tflite", delegate=False)
    for height, width in ((9, 14), (16, 5)):
        x = torch.rand(1, 3, height, width)
        with torch.no_grad():
            expected = module(x)
        # Sums of up to 200 products of numbers below one, in another order.
        torch.testing.assert_close(torch.from_numpy(network.run(x.numpy())), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("scale", [2, 3])
def test_convolutions_sums_and_shuffles(scale: int, skip: bool) -> None:
    torch.manual_seed(0)
    check(Upsampler(scale=scale, skip=skip).eval())


def test_the_float_twin_of_a_network_of_ours_is_such_a_network() -> None:
    torch.manual_seed(0)
    twin = float_twin(deploy_form(create_model("test_ebsr_plus_x2").eval()))
    for module in twin.modules():
        if isinstance(module, nn.Conv2d):  # its sums stay near one
            module.weight.data /= math.sqrt(module.in_channels)
    check(twin)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()),
        nn.Conv2d(3, 6, 3, padding=1, groups=3),
        nn.Conv2d(3, 6, 3, padding=2, dilation=2),
        nn.Conv2d(3, 6, 3, padding=1, padding_mode="reflect"),
        nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 12, 1), nn.PixelShuffle(2), nn.PixelShuffle(1)),
    ],
    ids=["another op", "groups", "dilation", "another padding", "a shuffle behind a shuffle"],
)
def test_everything_else_is_left_to_the_converter(module: nn.Module) -> None:
    assert written(module.eval()) is None
