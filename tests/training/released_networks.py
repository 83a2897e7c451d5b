"""The equations of published networks under the names of their published code, as far as checkpoints need them.

They are written from the papers and serve as the measure of imported weights: signs are ``torch.sign``.
"""

import math
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Bias(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(0.1 * torch.randn(1, channels, 1, 1))


class Activation(nn.Module):
    """RPReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pr_bias0 = Bias(channels)
        self.pr_prelu = nn.PReLU(channels)
        self.pr_bias1 = Bias(channels)
        nn.init.uniform_(self.pr_prelu.weight, 0.1, 0.9)

    def forward(self, x: Tensor) -> Tensor:
        return self.pr_prelu(x + self.pr_bias0.bias) + self.pr_bias1.bias


def scaled_signs(weight: Tensor) -> Tensor:
    return weight.abs().mean(dim=(1, 2, 3), keepdim=True) * weight.sign()


class BinaryConv(nn.Module):
    """BBCU's unit, and with ``factor`` its upsampler."""

    def __init__(self, channels: int, factor: int = 1) -> None:
        super().__init__()
        self.factor = factor
        self.move0 = Bias(channels)
        self.binary_conv = nn.Conv2d(channels, channels * factor**2, 3, bias=False)
        self.relu = Activation(channels * factor**2)

    def forward(self, x: Tensor) -> Tensor:
        signs = (x + self.move0.bias).sign()
        y = self.relu(F.conv2d(signs, scaled_signs(self.binary_conv.weight), padding=1))
        if self.factor == 1:
            return y + x
        return F.pixel_shuffle(y, self.factor) + F.interpolate(x, scale_factor=self.factor, mode="nearest")


class Body(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Bbcu(nn.Module):
    """BBCU-M with ``binary``, else BBCU-L, or with ``body`` any network in BasicSR's backbone."""

    def __init__(
        self, scale: int, *, binary: bool, channels: int = 8, k: float = 16.25, body: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.scale, self.k, self.binary = scale, k, binary
        self.conv_first = nn.Conv2d(3, channels, 3, padding=1)
        self.body = body or nn.Sequential(Body(BinaryConv(channels), BinaryConv(channels)))
        self.factors = (2, 2) if scale == 4 else (scale,)
        for number, factor in enumerate(self.factors, 1):
            grown = BinaryConv(channels, factor) if binary else nn.Conv2d(channels, channels * factor**2, 3, padding=1)
            self.add_module(f"upconv{number}", grown)
        self.conv_hr = BinaryConv(channels) if binary else nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_last = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.k * x
        y = self.body(F.leaky_relu(self.conv_first(x), 0.1))
        for number, factor in enumerate(self.factors, 1):
            y = self.get_submodule(f"upconv{number}")(y)
            if not self.binary:
                y = F.leaky_relu(F.pixel_shuffle(y, factor), 0.1)
        y = self.conv_last(F.leaky_relu(self.conv_hr(y), 0.1))
        return (y + F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)) / self.k


def e2fif_layer(channels: int) -> nn.Sequential:
    norm = nn.BatchNorm2d(channels)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    nn.init.normal_(norm.bias)
    norm.running_mean = torch.randn(channels)
    norm.running_var = torch.rand(channels) + 20
    return nn.Sequential(nn.Conv2d(channels, channels, 3), norm)


class E2fifBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = e2fif_layer(channels), e2fif_layer(channels)

    def forward(self, x: Tensor) -> Tensor:
        for layer, slope in ((self.conv1, 0.1), (self.conv2, 1.0)):
            conv, norm = layer
            y = norm(F.conv2d(x.sign(), conv.weight.sign(), conv.bias, padding=1)) + x
            x = F.leaky_relu(y, slope)
        return x


class EdsrHead(nn.Module):
    def __init__(self, colours: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(colours, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1(x)


class E2fif(nn.Module):
    """It takes and gives values of 0 to ``span``."""

    def __init__(self, scale: int, *, channels: int = 8, span: float = 255.0, colours: int = 3) -> None:
        super().__init__()
        mean = span * torch.tensor([0.4488, 0.4371, 0.4040][:colours])
        self.sub_mean, self.add_mean = (nn.Conv2d(colours, colours, 1) for _ in range(2))
        for layer, sign in ((self.sub_mean, -1), (self.add_mean, 1)):
            layer.weight.data = torch.eye(colours)[..., None, None]
            layer.bias = nn.Parameter(sign * mean)
        self.head = nn.Sequential(EdsrHead(colours, channels))
        self.body = nn.Sequential(E2fifBlock(channels))
        self.tail = nn.Sequential(nn.Conv2d(channels, colours * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        head = self.head(self.sub_mean(x))
        return self.add_mean(self.tail(self.body(head) + head))


class ReactnetBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.move0 = Bias(channels)
        self.binary_conv = nn.Conv2d(channels, channels, 3, bias=False)
        self.bn1 = e2fif_layer(channels)[1]
        self.move1 = Bias(channels)
        self.prelu = nn.PReLU(channels)
        self.move2 = Bias(channels)

    def forward(self, x: Tensor) -> Tensor:
        signs = (x + self.move0.bias).sign()
        y = self.bn1(F.conv2d(signs, scaled_signs(self.binary_conv.weight), padding=1)) + x
        return self.prelu(y + self.move1.bias) + self.move2.bias


class BiConv(nn.Module):
    def __init__(self, channels: int, size: int, groups: int) -> None:
        super().__init__()
        self.TaR = nn.ModuleDict({f"dynamic_move_{group}": Bias(channels) for group in range(groups)})
        self.binary_conv = nn.Conv2d(channels, channels, size, bias=False)
        self.TaA = nn.ModuleDict({f"dynamic_relu_{group}": Activation(channels) for group in range(groups)})

    def forward(self, x: Tensor, group: int) -> Tensor:
        signs = (x + self.TaR.get_submodule(f"dynamic_move_{group}").bias).sign()
        weight = scaled_signs(self.binary_conv.weight)
        y = F.conv2d(signs, weight, padding=weight.shape[-1] // 2)
        return self.TaA[f"dynamic_relu_{group}"](y) + x


class FloatConv(nn.Conv2d):
    def forward(self, x: Tensor, group: int) -> Tensor:  # type: ignore[override]
        return super().forward(x)


class NormConv(nn.Module):
    def __init__(self, conv: nn.Module, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.GroupNorm(4, channels))
        self.conv = conv

    def forward(self, x: Tensor, group: int) -> Tensor:
        return self.conv(F.silu(self.block(x)), group)


class ResBlock(nn.Module):
    def __init__(self, channels: int, width: int, groups: int) -> None:
        super().__init__()
        self.timestep_func = nn.Sequential(nn.SiLU(), nn.Linear(width, channels))

        def conv() -> nn.Module:
            return BiConv(channels, 3, groups) if groups else FloatConv(channels, channels, 3, padding=1)

        self.block1, self.block2 = NormConv(conv(), channels), NormConv(conv(), channels)

    def forward(self, x: Tensor, time: Tensor, group: int) -> Tensor:
        h = self.block1(x, group) + self.timestep_func(time)[:, :, None, None]
        return self.block2(h, group) + x


class Attention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(4, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(2).chunk(3, dim=1)
        weights = (q.transpose(1, 2) @ k / math.sqrt(x.shape[1])).softmax(dim=2)
        return self.out((v @ weights.transpose(1, 2)).reshape(x.shape)) + x


class WithAttention(nn.Module):
    def __init__(self, channels: int, width: int, groups: int, *, attention: bool = False) -> None:
        super().__init__()
        self.res_block = ResBlock(channels, width, groups)
        if attention:
            self.attn = Attention(channels)

    def forward(self, x: Tensor, time: Tensor, group: int) -> Tensor:
        h = self.res_block(x, time, group)
        return self.attn(h) if hasattr(self, "attn") else h


class Resample(nn.Module):
    def __init__(self, channels: int, groups: int, *, up: bool) -> None:
        super().__init__()
        self.up = up
        self.biconv1, self.biconv2 = BiConv(channels, 3, groups), BiConv(channels, 3, groups)

    def forward(self, x: Tensor, group: int) -> Tensor:
        if self.up:
            return F.pixel_shuffle(torch.cat([self.biconv1(x, group), self.biconv2(x, group)], dim=1), 2)
        first, second = x.chunk(2, dim=1)
        return F.pixel_unshuffle(self.biconv1(first, group) + self.biconv2(second, group), 2)


class Fusion(nn.Module):
    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        for name in ("biconv_1", "biconv_2"):
            self.add_module(name, BiConv(channels, 1, groups) if groups else FloatConv(channels, channels, 1))

    def forward(self, h: Tensor, skip: Tensor, group: int) -> Tensor:
        odd_even = torch.cat([h[:, 1::2], skip[:, ::2]], dim=1)
        even_odd = torch.cat([h[:, ::2], skip[:, 1::2]], dim=1)
        return self.get_submodule("biconv_1")(odd_even, group) + self.get_submodule("biconv_2")(even_odd, group)


class BiDiffSr(nn.Module):
    """Two levels of 16 and 32 channels, no blocks in the encoder, one float level: the smallest of ours."""

    def __init__(self, width: int = 16, groups: int = 2, timesteps: int = 2000) -> None:
        super().__init__()
        self.groups, self.timesteps = groups, timesteps
        self.timestep_level_mlp = nn.ModuleDict({"1": nn.Linear(width, 4 * width), "3": nn.Linear(4 * width, width)})
        self.downs = nn.ModuleList([nn.Conv2d(6, width, 3, padding=1), Resample(width // 2, groups, up=False)])
        wide = 2 * width
        self.mid = nn.ModuleList(
            [WithAttention(wide, width, groups, attention=True), WithAttention(wide, width, groups)]
        )
        self.ups = nn.ModuleList(
            [
                Fusion(wide, groups),
                WithAttention(wide, width, groups),
                Resample(wide, groups, up=True),
                Fusion(width, 0),
                WithAttention(width, width, 0),
            ]
        )
        layers = OrderedDict({"0": nn.GroupNorm(4, width), "1": nn.SiLU(), "3": nn.Conv2d(width, 3, 3, padding=1)})
        self.final_conv = nn.Module()
        self.final_conv.block = nn.Sequential(layers)

    def forward(self, x: Tensor, timestep: Tensor) -> Tensor:
        group = int(timestep[0] * self.groups / self.timesteps)
        half = self.downs[0].out_channels // 2
        rates = torch.exp(-math.log(1e4) * torch.arange(half) / half)
        angles = timestep[:, None] * rates
        encoding = torch.cat([angles.sin(), angles.cos()], dim=1)
        time = self.timestep_level_mlp["3"](F.silu(self.timestep_level_mlp["1"](encoding)))
        head = self.downs[0](x)
        down = self.downs[1](head, group)
        h = down
        for block in self.mid:
            h = block(h, time, group)
        h = self.ups[1](self.ups[0](h, down, group), time, group)
        h = self.ups[2](h, group)
        h = self.ups[4](self.ups[3](h, head, group), time, group)
        return self.final_conv.block(h)
