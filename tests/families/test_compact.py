"""Compact float networks: what they fold to computes what their papers write."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.export.deploy import fold
from bitsr.training.models import create_model
from bitsr.training.models.compact import EdgeConv


def branches(block: EdgeConv, x: Tensor) -> Tensor:
    """ECBSR's five branches as in its paper: each is padded with what its 1x1 convolution makes of zeros."""
    y = F.conv2d(x, block.plain.weight, block.plain.bias, padding=1)
    y = y + block.squeeze(padded(block.expand, x))
    for number, edge in enumerate(block.edges):
        assert isinstance(edge, nn.Conv2d)
        scale = block.edge_scale[number].reshape(-1, 1, 1, 1)
        depthwise = scale * block.filters[number]
        y = y + F.conv2d(padded(edge, x), depthwise, block.edge_bias[number], groups=len(scale))
    return y


def padded(conv: nn.Conv2d, x: Tensor) -> Tensor:
    y = conv(x)
    border = conv(torch.zeros_like(x[:1, :, :1, :1]))
    result = border.expand(len(x), -1, y.shape[2] + 2, y.shape[3] + 2).clone()
    result[:, :, 1:-1, 1:-1] = y
    return result


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 8), (8, 8), (8, 48), (1, 1)])
def test_edge_conv_is_its_branches(inputs: int, outputs: int) -> None:
    torch.manual_seed(3)
    block = EdgeConv(inputs, outputs).double()
    nn.init.normal_(block.edge_scale)
    nn.init.normal_(block.edge_bias)
    x = torch.randn(2, inputs, 5, 7, dtype=torch.float64)
    expected = branches(block, x)
    # Double precision: only sums are added in another order.
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(fold(block.float())(x.float()), expected.float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_quicksrnet_starts_near_nearest_neighbour(scale: int) -> None:
    """Without the random part of its weights it is exactly that."""
    model = create_model(f"quicksrnet_small_x{scale}")
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data = (layer.weight.data > 0.6).float()
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    x = torch.rand(1, 3, 6, 5)
    torch.testing.assert_close(model(x), F.interpolate(x, scale_factor=scale), rtol=0, atol=0)


def test_widths_are_those_of_the_papers() -> None:
    def weights(model: nn.Module) -> int:
        return sum(part.numel() for part in fold(model).parameters())

    assert weights(create_model("ecbsr_m4c16_x2")) == 4 * (16 * 16 * 9 + 32) + 3 * 16 * 9 + 32 + 16 * 12 * 9 + 12
    # ECBSR, QuickSRNet and FSRCNN state these for luminance or RGB, without and with biases; XLSR 22 thousand.
    assert sum(p.numel() for p in create_model("quicksrnet_small_x2").parameters()) == 22860
    assert 20_000 < weights(create_model("xlsr_x3")) < 22_000


TRANSPOSED = [
    (4, 9, 4, 3),
    (2, 9, 4, 1),
    (3, 9, 4, 2),
    (2, 4, 1, 0),
    (2, 2, 0, 0),
    (2, 3, 1, 1),
    (1, 3, 1, 0),
    (4, 8, 2, 0),
]


@pytest.mark.parametrize(("stride", "size", "padding", "more"), TRANSPOSED)
@pytest.mark.parametrize("bias", [True, False])
def test_transposed_convolution_becomes_convolution_and_shuffle(
    stride: int, size: int, padding: int, more: int, bias: bool
) -> None:
    torch.manual_seed(5)
    layer = nn.ConvTranspose2d(3, 5, size, stride=stride, padding=padding, output_padding=more, bias=bias)
    folded = fold(layer)
    assert not any(isinstance(part, nn.ConvTranspose2d) for part in folded.modules())
    for sides in ((6, 7), (1, 1), (1, 9)):
        x = torch.randn(2, 3, *sides)
        # The same products, added in another order.
        torch.testing.assert_close(folded(x), layer(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("other", [{"stride": 2}, {"stride": 2, "groups": 3, "padding": 1, "output_padding": 1}])
def test_other_transposed_convolutions_stay(other: dict[str, int]) -> None:
    layer = nn.ConvTranspose2d(3, 3, 3, **other)  # type: ignore[arg-type]
    folded = fold(layer)
    x = torch.randn(1, 3, 4, 5)
    assert isinstance(folded, nn.ConvTranspose2d)
    assert torch.equal(folded(x), layer(x))
