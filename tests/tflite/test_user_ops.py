"""Ordinary float ops of a user's network that onnx2tf has no right form of."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.artifact.flatbuffer import graph_ops
from bitsr.export.export import export_model


class Ordinary(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = F.gelu(4 * x - 2) + F.gelu(x, approximate="tanh") + torch.erf(x)
        return F.avg_pool2d(F.pad(y, (1, 1, 1, 1), mode="reflect"), 3, stride=1)


def test_a_tflite_of_them_computes_what_pytorch_does(tmp_path: Path) -> None:
    file = export_model(
        Ordinary(), output=tmp_path, name="ordinary", scale=1, formats=("tflite",), max_pixels=32 * 32
    ).files["tflite"]
    assert file.verification is not None
    assert file.verification.psnr > 60
    ops = graph_ops(file.path.read_bytes(), name="it")
    assert not any(op.custom for op in ops)
    assert "MIRROR_PAD" in [op.name for op in ops]
