"""Layers of 1-bit super-resolution networks in their training form."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.common.errors import UsageError
from bitsr.training.binarizers import ActivationBinarizer, WeightBinarizer

# Of binary layers: what the kernels run.
KERNEL_SIZES = (1, 3)

# Mean RGB of the DIV2K training set in [0, 1]; the figures of the EDSR code base, used by its successors.
DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
# Range of values that the same code bases compute in: pictures are 0 to 255 there, 0 to 1 here.
EDSR_RANGE = 255.0


class BinaryConv2d(nn.Module):
    """Convolution of binarized activations with binarized weights, stride 1, 'same' size.

    The zero padding comes after the sign, so a padded tap contributes exactly 0 (neither -1 nor +1).
    Input (N, in_channels, H, W), output (N, out_channels, H, W). A phone's kernels have sizes 1 and 3, stride 1,
    one group and no dilation, so others are refused here, before anything is trained.
    Any module with ``weight``, ``weight_bits`` and ``activation_bits`` counts as a low-bit layer in costs.
    """

    activation_bits = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        activation_binarizer: ActivationBinarizer,
        weight_binarizer: WeightBinarizer,
        bias: bool = False,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        if kernel_size not in KERNEL_SIZES:
            raise UsageError(
                f"a binary layer of kernel size {kernel_size} has no kernel on a phone: choose 1 or 3 (two 3x3 layers "
                "see what one 5x5 sees)"
            )
        for name, value in (("stride", stride), ("groups", groups), ("dilation", dilation)):
            if value != 1:
                raise UsageError(
                    f"a binary layer with {name} {value} has no kernel on a phone: choose {name} 1, or a float "
                    "convolution (nn.Conv2d) for this layer"
                )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.padding = kernel_size // 2
        # PyTorch's default initial values of a convolution (kaiming-uniform), as in the published code.
        initial = nn.Conv2d(in_channels, out_channels, kernel_size, bias=bias)
        self.weight = nn.Parameter(initial.weight.detach().clone())
        self.bias = nn.Parameter(initial.bias.detach().clone()) if initial.bias is not None else None
        self.activation_binarizer = activation_binarizer
        self.weight_binarizer = weight_binarizer
        self.weight_binarizer.initialize(self.weight)
        # False while a training makes the activations binary first; costs, folds and files know binary weights alone.
        self.binary_weights = True

    @property
    def weight_bits(self) -> int:
        """Bits of a weight: one for each weight plane."""
        return self.weight_binarizer.planes

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """Convolve; ``shift`` (N, C, 1, 1) replaces the binarizer's static threshold."""
        bits = self.activation_binarizer(x, shift)
        weight = self.weight_binarizer(self.weight) if self.binary_weights else self.weight
        return F.conv2d(bits, weight, self.bias, padding=self.padding)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, bias={self.bias is not None}"


class ChannelShiftRescale(nn.Module):
    """Threshold and gain of every channel from the picture's global averages: GAP, FC, ReLU, FC.

    Input (N, C, H, W); output ``(shift, gain)``, both (N, C, 1, 1), the gain in (0, 1). The first C outputs of the
    last layer are the shift, the last C pass a sigmoid and are the gain. ``fused=False`` uses one GAP-FC-ReLU-FC
    branch for each of the two.
    Source: EBSR (arXiv 2303.12270v1), section 5.2; the reduction 16 follows from its tables 3 and 4. Initial values
    are not in the paper: zero bias, shift rows scaled by 0.1, so that shift is near 0 and gain near 0.5.
    """

    global_pooling = True

    def __init__(self, channels: int, *, reduction: int = 16, fused: bool = True) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.channels = channels
        self.fused = fused
        if fused:
            self.fc1 = nn.Linear(channels, hidden)
            self.fc2 = nn.Linear(hidden, 2 * channels)
            shift_weight, biases = self.fc2.weight[:channels], [self.fc2.bias]
        else:
            self.shift_fc1 = nn.Linear(channels, hidden)
            self.shift_fc2 = nn.Linear(hidden, channels)
            self.gain_fc1 = nn.Linear(channels, hidden)
            self.gain_fc2 = nn.Linear(hidden, channels)
            shift_weight, biases = self.shift_fc2.weight, [self.shift_fc2.bias, self.gain_fc2.bias]
        with torch.no_grad():
            shift_weight.mul_(0.1)
            for bias in biases:
                bias.zero_()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.fused:
            shift, gain = self.fc2(F.relu(self.fc1(x.mean(dim=(2, 3))))).split(self.channels, dim=1)
        else:
            shift = self.shift_fc2(F.relu(self.shift_fc1(x.mean(dim=(2, 3)))))
            gain = self.gain_fc2(F.relu(self.gain_fc1(x.mean(dim=(2, 3)))))
        return shift[:, :, None, None], gain.sigmoid()[:, :, None, None]


class SpatialRescale(nn.Module):
    """Gain of every pixel: a convolution C -> 1 and a sigmoid. (N, C, H, W) -> (N, 1, H, W) in (0, 1).

    Source: EBSR (arXiv 2303.12270v1), section 5.1; the kernel size 3 follows from its tables 3 and 4.
    """

    def __init__(self, channels: int, *, kernel_size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, kernel_size, padding=kernel_size // 2)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.conv(x))


class RPReLU(nn.Module):
    """``PReLU(x + b0) + b1`` with learnable ``b0``, slope and ``b1`` per channel. (N, C, H, W) -> (N, C, H, W).

    Source: ReActNet (Liu et al., ECCV 2020), eq. 2, which writes ``x - gamma`` and ``+ zeta``; initially
    b0 = b1 = 0 and slope 0.25.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift_before = nn.Parameter(torch.zeros(channels))
        self.prelu = nn.PReLU(channels)
        self.shift_after = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.prelu(x + self.shift_before.reshape(-1, 1, 1)) + self.shift_after.reshape(-1, 1, 1)


class Normalize(nn.Module):
    """``(x - DIV2K mean) * input_scale`` for RGB pictures (N, 3, H, W) in [0, 1].

    ``input_scale`` is :data:`EDSR_RANGE`, or the amplification of BBCU (Xia et al., ICLR 2023): it puts the picture's
    values on the scale of the outputs of binary convolutions; the network's output is divided by it.
    """

    mean: Tensor

    def __init__(self, *, input_scale: float = 1.0) -> None:
        super().__init__()
        self.input_scale = float(input_scale)
        self.register_buffer("mean", torch.tensor(DIV2K_MEAN).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        centred = x - self.mean
        return centred if self.input_scale == 1.0 else centred * self.input_scale
