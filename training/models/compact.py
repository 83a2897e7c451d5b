"""Small float networks that people take for phones: what a 1-bit network has to beat at equal time.

Sources:

- FSRCNN: Dong et al., ECCV 2016 (arXiv 1608.00367), d = 56, s = 12, m = 4.
- ECBSR: Zhang et al., "Edge-oriented Convolution Block for Real-time Super Resolution on Mobile Devices", ACM MM 2021.
- XLSR: Ayazoglu, CVPRW 2021 (arXiv 2105.10288); its text has the blocks, the rest is inferred from its 22 k weights.
- QuickSRNet: Berger et al., CVPRW 2023 (arXiv 2303.04336).

The first two enlarge luminance alone in their papers; here all take and give RGB, so that they are compared in the same
pipeline. Their input is not centred, as in their code. Activations are the papers'.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.training.models.network import SuperResolutionModel
from bitsr.training.models.registry import positive, register_model

FSRCNN_PAPER = "FSRCNN, ECCV 2016 (arXiv 1608.00367)"
ECBSR_PAPER = "ECBSR, ACM MM 2021"
XLSR_PAPER = "XLSR, CVPRW 2021 (arXiv 2105.10288)"
QUICK_PAPER = "QuickSRNet, CVPRW 2023 (arXiv 2303.04336)"

# Expansion of the branch of two convolutions in ECBSR's code.
_EXPANSION = 2


class EdgeConv(nn.Module):
    """ECBSR's block: a 3x3 convolution that is trained as five. (N, Ci, H, W) -> (N, Co, H, W).

    A plain 3x3, a 1x1 before a 3x3, and 1x1 before scaled Sobel filters (two) and a scaled Laplacian; their sum is one
    3x3 convolution, which :meth:`merged` gives and :meth:`forward` computes, so that a step costs little more than it.
    The paper pads each branch with what its first convolution makes of zeros, so the merged form is exact at borders.
    Source: ECBSR, section 3.2.
    """

    filters: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        hidden = _EXPANSION * out_channels
        self.plain = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.expand = nn.Conv2d(in_channels, hidden, 1)
        self.squeeze = nn.Conv2d(hidden, out_channels, 3)
        self.edges = nn.ModuleList(nn.Conv2d(in_channels, out_channels, 1, bias=False) for _ in range(3))
        self.edge_scale = nn.Parameter(torch.randn(3, out_channels) * 1e-3)
        self.edge_bias = nn.Parameter(torch.randn(3, out_channels) * 1e-3)
        sobel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
        laplacian = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
        self.register_buffer("filters", torch.stack([sobel, sobel.T, laplacian]), persistent=False)

    def merged(self) -> tuple[Tensor, Tensor]:
        """Weight (Co, Ci, 3, 3) and bias (Co,) of the one convolution.

        An edge filter sums to 0, so a bias of the 1x1 before it, which the paper has, would be lost.
        """
        weight = self.plain.weight + torch.einsum("ohyx,hi->oiyx", self.squeeze.weight, self.expand.weight.flatten(1))
        bias = self.plain.bias + self.squeeze.bias  # type: ignore[operator]
        bias = bias + torch.einsum("ohyx,h->o", self.squeeze.weight, self.expand.bias)
        for edge, scale, kernel in zip(self.edges, self.edge_scale, self.filters, strict=True):
            assert isinstance(edge, nn.Conv2d)
            weight = weight + torch.einsum("o,yx,oi->oiyx", scale, kernel, edge.weight.flatten(1))
        return weight, bias + self.edge_bias.sum(dim=0)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.merged()
        return F.conv2d(x, weight, bias, padding=1)


class PlainNetwork(SuperResolutionModel):
    """Layers at low resolution in series, a pixel shuffle, and with ``nearest_skip`` the enlarged input added."""

    def __init__(self, layers: nn.Sequential, *, channels: int, scale: int, radius: int, nearest_skip: bool) -> None:
        super().__init__(scale=scale, channels=channels, receptive_field_radius=radius)
        self.layers = layers
        self.nearest_skip = nearest_skip

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        if self.nearest_skip:
            # Repeated before the shuffle, each pixel becomes s*s behind it.
            y = y + x.repeat_interleave(self.scale**2, dim=1)
        return F.pixel_shuffle(y, self.scale)


@dataclass(frozen=True)
class CompactConfig:
    """Width and depth: ``blocks`` 3x3 convolutions between the first and the last."""

    channels: int = 16
    blocks: int = 4


@register_model("ecbsr_m4c16_x{scale}", paper=ECBSR_PAPER, config=CompactConfig(channels=16, blocks=4))
@register_model("ecbsr_m10c16_x{scale}", paper=ECBSR_PAPER, config=CompactConfig(channels=16, blocks=10))
@register_model("ecbsr_m10c32_x{scale}", paper=ECBSR_PAPER, config=CompactConfig(channels=32, blocks=10))
@register_model("test_ecbsr_x{scale}", scales=(2,), paper=ECBSR_PAPER, config=CompactConfig(channels=8, blocks=1))
def ecbsr(scale: int, config: CompactConfig) -> PlainNetwork:
    """ECBSR: edge-oriented blocks with a PReLU per channel, the input added before the shuffle."""
    layers: list[nn.Module] = [EdgeConv(3, config.channels), nn.PReLU(config.channels)]
    for _ in range(config.blocks):
        layers += [EdgeConv(config.channels, config.channels), nn.PReLU(config.channels)]
    layers.append(EdgeConv(config.channels, 3 * scale**2))
    return PlainNetwork(
        nn.Sequential(*layers), channels=config.channels, scale=scale, radius=config.blocks + 2, nearest_skip=True
    )


@register_model("quicksrnet_small_x{scale}", paper=QUICK_PAPER, config=CompactConfig(channels=32, blocks=2))
@register_model("quicksrnet_medium_x{scale}", paper=QUICK_PAPER, config=CompactConfig(channels=32, blocks=5))
@register_model("test_quicksrnet_x{scale}", scales=(2,), paper=QUICK_PAPER, config=CompactConfig(channels=8, blocks=1))
def quicksrnet(scale: int, config: CompactConfig) -> PlainNetwork:
    """QuickSRNet: 3x3 convolutions with ReLU that start as the identity, so near nearest-neighbour enlargement."""
    channels = config.channels
    layers: list[nn.Module] = []
    for inputs in (3, *[channels] * config.blocks):
        layers += [_with_identity(nn.Conv2d(inputs, channels, 3, padding=1)), nn.ReLU()]
    layers.append(_with_identity(nn.Conv2d(channels, 3 * scale**2, 3, padding=1), repeat=scale**2))
    return PlainNetwork(
        nn.Sequential(*layers), channels=channels, scale=scale, radius=config.blocks + 2, nearest_skip=False
    )


def _with_identity(conv: nn.Conv2d, *, repeat: int = 1) -> nn.Conv2d:
    """Add the identity of channels to initial weights: ``repeat`` outputs for each input (QuickSRNet, section 3.2)."""
    with torch.no_grad():
        for output in range(conv.out_channels):
            if output // repeat < conv.in_channels:
                conv.weight[output, output // repeat, 1, 1] += 1.0
    return conv


class GroupedBlock(nn.Module):
    """XLSR's Gblock: a 3x3 convolution of 4 groups, ReLU, a 1x1 convolution. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.grouped = nn.Conv2d(channels, channels, 3, padding=1, groups=4)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(F.relu(self.grouped(x)))


@dataclass(frozen=True)
class XlsrConfig:
    """Width of the blocks and of the branch beside them, and how many blocks."""

    channels: int = 32
    branch: int = positive(16)
    blocks: int = 3


class Xlsr(SuperResolutionModel):
    """Gblocks beside one convolution of the input, joined by a 1x1, a 3x3, a pixel shuffle and a clip to [0, 1]."""

    def __init__(self, scale: int, config: XlsrConfig) -> None:
        super().__init__(scale=scale, channels=config.channels, receptive_field_radius=config.blocks + 2)
        self.head = nn.Conv2d(3, config.channels, 3, padding=1)
        self.body = nn.Sequential(*(GroupedBlock(config.channels) for _ in range(config.blocks)))
        self.branch = nn.Conv2d(3, config.branch, 3, padding=1)
        self.join = nn.Conv2d(config.channels + config.branch, config.channels, 1)
        self.tail = nn.Conv2d(config.channels, 3 * scale**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.cat([self.body(self.head(x)), self.branch(x)], dim=1)
        y = F.pixel_shuffle(self.tail(F.relu(self.join(joined))), self.scale)
        # Clipped where it is a picture; a training needs the gradient beyond.
        return y if self.training else y.clamp(0.0, 1.0)


@register_model("xlsr_x{scale}", paper=XLSR_PAPER, config=XlsrConfig())
@register_model("test_xlsr_x{scale}", scales=(2,), paper=XLSR_PAPER, config=XlsrConfig(channels=8, branch=4, blocks=1))
def xlsr(scale: int, config: XlsrConfig) -> Xlsr:
    """XLSR (20.9 k parameters at x3 as built here; the paper's has 22 k)."""
    return Xlsr(scale, config)


@dataclass(frozen=True)
class FsrcnnConfig:
    """The paper's d, s and m: width, width of the shrunk maps, and their 3x3 convolutions."""

    channels: int = 56
    shrunk: int = positive(12)
    blocks: int = 4


class Fsrcnn(SuperResolutionModel):
    """5x5, shrinking 1x1, 3x3 convolutions, expanding 1x1, all with PReLU, and a transposed 9x9 of stride ``scale``."""

    def __init__(self, scale: int, config: FsrcnnConfig) -> None:
        # The transposed convolution reaches ceil(4 / scale) input pixels.
        super().__init__(
            scale=scale, channels=config.channels, receptive_field_radius=2 + config.blocks + -(-4 // scale)
        )
        layers: list[nn.Module] = []
        for inputs, outputs, size in (
            (3, config.channels, 5),
            (config.channels, config.shrunk, 1),
            *[(config.shrunk, config.shrunk, 3)] * config.blocks,
            (config.shrunk, config.channels, 1),
        ):
            layers += [nn.Conv2d(inputs, outputs, size, padding=size // 2), nn.PReLU(outputs)]
        self.layers = nn.Sequential(*layers)
        self.deconv = nn.ConvTranspose2d(config.channels, 3, 9, stride=scale, padding=4, output_padding=scale - 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.deconv(self.layers(x))
        return y


@register_model("fsrcnn_x{scale}", paper=FSRCNN_PAPER, config=FsrcnnConfig())
@register_model("test_fsrcnn_x{scale}", scales=(2,), paper=FSRCNN_PAPER, config=FsrcnnConfig(8, 4, 1))
def fsrcnn(scale: int, config: FsrcnnConfig) -> Fsrcnn:
    """FSRCNN (56, 12, 4); ours gives RGB, three times the transposed convolution of the paper's luminance."""
    return Fsrcnn(scale, config)
