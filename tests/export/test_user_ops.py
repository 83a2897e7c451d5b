"""Ordinary float ops of a user's network, between layers that are channels-last."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.export.errors import ExportError
from bitsr.export.export import export_model

CHANNELS = 8


class Ordinary(nn.Module):
    """Every op on what the one before it gives; the maps are channels-last, as in the body of our networks."""

    def __init__(self, ops: list[Callable[[Tensor], Tensor]]) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.head = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.tail = nn.Conv2d(CHANNELS, 3, 3, padding=1)
        self.ops = ops

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x).to(memory_format=torch.channels_last)
        for op in self.ops:
            y = op(y)
        return self.tail(y).to(memory_format=torch.contiguous_format)


OPS: list[Callable[[Tensor], Tensor]] = [
    lambda x: x.detach() + x,
    lambda x: x.masked_fill(x < 0, 0.1),
    lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
    lambda x: x - x.amax((2, 3), keepdim=True),
    lambda x: torch.roll(x, 1, 1),
    lambda x: x + 0.1 * x.softmax(1),
    # Two ways in which people write a sign with a straight-through gradient.
    lambda x: x + 0.1 * torch.where(x >= -0.5, torch.ones_like(x), -torch.ones_like(x)),
    lambda x: x + 0.1 * (torch.sign(x + 0.5) - x).detach(),
    F.gelu,
]


def test_a_pte_of_them_computes_what_pytorch_does(tmp_path: Path) -> None:
    result = export_model(Ordinary(OPS), output=tmp_path, name="ordinary", scale=1, max_pixels=32 * 32)
    verification = result.files["pte"].verification
    assert verification is not None
    assert verification.psnr > 60


@pytest.mark.parametrize(
    ("op", "name"),
    [
        (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect")[:, :, 1:-1, 1:-1], "pad"),
        (lambda x: torch.roll(x, 1, 3), "roll"),
    ],
)
def test_what_moves_pixels_along_a_free_side_is_refused_before_it_is_lowered(
    op: Callable[[Tensor], Tensor], name: str, tmp_path: Path
) -> None:
    """It would run on squares and fail on a longer picture of as many pixels."""
    with pytest.raises(ExportError, match=rf"aten::.*{name}.* moves pixels along a side.*pad with zeros"):
        export_model(Ordinary([op]), output=tmp_path, name="ordinary", scale=1, max_pixels=32 * 32)
    assert list(tmp_path.iterdir()) == []


def test_an_op_that_no_kernel_runs_is_named_with_its_module(tmp_path: Path) -> None:
    class Angle(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.svdvals(x)[..., :, None] * x

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.angle = Angle()

        def forward(self, x: Tensor) -> Tensor:
            return self.angle(x)

    with pytest.raises(ExportError, match="svd"):
        export_model(Network(), output=tmp_path, name="angle", scale=1, max_pixels=32 * 32)
    assert list(tmp_path.iterdir()) == []
