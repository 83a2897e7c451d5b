"""The float twin of a binary network: its geometry with float convolutions, to compare times with.

It is the only opponent that "faster than float" speaks of, in `bitsr validate` and `bitsr bench`, whatever the format.
"""

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from bitsr.common.files import atomic_write
from bitsr.export.deploy.folds.attention import FoldedAttentionUnit
from bitsr.export.deploy.layers import FusedBinaryConv2d, QuantizedConv2d, ResidualBinaryConv2d


class FloatConv(nn.Module):
    """A float convolution of the shape of a fused binary one, with its residual and nothing else."""

    def __init__(self, layer: FusedBinaryConv2d) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            layer.in_channels, layer.out_channels, layer.kernel_size, padding=layer.kernel_size // 2, bias=True
        )

    def forward(self, x: Tensor, *, residual: Tensor | None = None, **_gains: Tensor | None) -> Tensor:
        """(N, Ci, H, W) -> (N, Co, H, W)."""
        y: Tensor = self.conv(x)
        return y if residual is None else y + residual


def float_twin(deployed: nn.Module) -> nn.Module:
    """The deploy form with a float convolution of random weights for each binary or integer layer, without its gates.

    Leaving gates and activations out is in the twin's favour.
    """
    twin = copy.deepcopy(deployed)
    torch.manual_seed(0)
    for module in list(twin.modules()):
        if isinstance(module, ResidualBinaryConv2d):
            module.channel_gate = module.spatial_gate = None
        if isinstance(module, FoldedAttentionUnit):
            module.binary = module.residual = None
        for name, child in list(module.named_children()):
            if isinstance(child, FusedBinaryConv2d):
                setattr(module, name, FloatConv(child))
            elif isinstance(child, QuantizedConv2d):
                padding = child.kernel_size // 2
                conv = nn.Conv2d(child.in_channels, child.out_channels, child.kernel_size, padding=padding)
                setattr(module, name, conv)
    return twin.eval()


def _pte(twin: nn.Module, *, channels: int, side: int, only: tuple[Tensor, ...] | None) -> bytes:
    from bitsr.export.executorch.lower import lower

    return lower(twin, channels=channels, max_pixels=side * side, example_inputs=only).content


def _tflite(twin: nn.Module, *, channels: int, side: int, only: tuple[Tensor, ...] | None) -> bytes:
    from bitsr.export.capture import capture
    from bitsr.export.tflite.from_convolutions import from_convolutions
    from bitsr.export.tflite.lower import lower

    if only is None:
        captured, _ = capture(twin, channels=channels, side=side, refuse=lambda _: None)
        content = from_convolutions(captured)
        if content is not None:
            return content
    return lower(twin, channels=channels, max_pixels=side * side, ours=False, example_inputs=only).content


# By the names of the formats; each loads its heavy stack.
_LOWER = {"pte": _pte, "tflite": _tflite}


def write_float_twin(path: Path, deployed: nn.Module, *, kind: str, channels: int, side: int, fixed: bool) -> None:
    """Lower the twin to the format ``kind``, without metadata; it runs in XNNPACK, but for the pixel shuffle of a .pte.

    That one is ours, in the twin's favour again: ExecuTorch's own is slower.
    It takes squares of ``side`` pixels, and nothing else if it is ``fixed``.

    Raises:
        ExportError: it can not be lowered.
    """
    only = (torch.zeros(1, channels, side, side),) if fixed else None
    content = _LOWER[kind](float_twin(deployed), channels=channels, side=side, only=only)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
