"""Fold of transposed convolutions that enlarge by their stride: one convolution and a pixel shuffle, the same sums.

onnx2tf makes an empty graph of a transposed convolution whose sides are free.
"""

import copy

import torch
from torch import Tensor, nn

from bitsr.export.deploy.layers import PixelShuffle
from bitsr.export.deploy.registry import folds


@folds(nn.ConvTranspose2d)
def fold_transposed(module: nn.ConvTranspose2d) -> nn.Module:
    """The sub-pixel form, or a copy where the output is not exactly ``stride`` times as large, or layers have groups.

    With stride s, kernel size k and padding p, output s*i + r is the sum over t of ``weight[s*t + r + p] * x[i - t]``
    wherever that tap exists: a convolution for each r (Shi et al., arXiv 1609.07009, section 2).
    """
    stride, padding, size = module.stride[0], module.padding[0], module.kernel_size[0]
    square = all(len(set(pair)) == 1 for pair in (module.stride, module.padding, module.kernel_size))
    grows = size - 2 * int(padding) + module.output_padding[0] - stride
    if not square or grows or module.output_padding[0] != module.output_padding[1]:
        return copy.deepcopy(module)
    if module.groups != 1 or set(module.dilation) != {1}:
        return copy.deepcopy(module)
    with torch.no_grad():
        weight = _sub_pixel_weight(module.weight, stride=stride, padding=int(padding))
        reach = weight.shape[2] // 2
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], padding=reach, bias=module.bias is not None)
        conv.weight.copy_(weight)
        if module.bias is not None and conv.bias is not None:
            conv.bias.copy_(module.bias.repeat_interleave(stride**2))
    return conv if stride == 1 else nn.Sequential(conv, PixelShuffle(stride))


def _sub_pixel_weight(weight: Tensor, *, stride: int, padding: int) -> Tensor:
    """(Ci, Co, k, k) of the transposed convolution -> (Co * s * s, Ci, 2 P + 1, 2 P + 1)."""
    inputs, outputs, size, _ = weight.shape
    last = [(size - 1 - padding - r) // stride for r in range(stride)]
    first = [-((r + padding) // stride) for r in range(stride)]
    reach = max(*last, *(-t for t in first))
    result = weight.new_zeros(outputs, stride, stride, inputs, 2 * reach + 1, 2 * reach + 1)
    for row in range(stride):
        for column in range(stride):
            for y in range(first[row], last[row] + 1):
                for x in range(first[column], last[column] + 1):
                    tap = weight[:, :, stride * y + row + padding, stride * x + column + padding]
                    result[:, row, column, :, reach - y, reach - x] = tap.T
    return result.flatten(0, 2)
