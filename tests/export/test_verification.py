"""What an artifact may differ: as much as the deploy form answers to a rounding, and no number of its ops."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bitsr.artifact.program import OPS, Op, OpKind
from bitsr.export import ops
from bitsr.export.packing import pack_weight
from bitsr.export.parity.artifact_ops import ArtifactOp
from bitsr.export.parity.matching import difference
from bitsr.export.parity.recording import record
from bitsr.export.verification import MIN_AGREEMENT_DB, Reference, Verification, check_pictures


class Amplifier(nn.Module):
    """Answers a change of the last bit with one of a tenth."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(x * 3e6)


def test_a_smooth_network_has_to_agree() -> None:
    reference = Reference.of(nn.Identity(), [(x,) for x in check_pictures(3)])
    assert reference.sensitivity > 100
    assert reference.compare(lambda given: [given[0] + 1e-4]).passed
    wrong = reference.compare(lambda given: [given[0].flip(-1)])
    assert not wrong.passed
    assert wrong.least == MIN_AGREEMENT_DB


def test_a_network_that_amplifies_roundings_is_judged_by_its_own_answer() -> None:
    reference = Reference.of(Amplifier(), [(x,) for x in check_pictures(3)])
    assert reference.sensitivity < MIN_AGREEMENT_DB
    rounded = reference.compare(lambda given: [torch.sin(given[0] * 3e6 + 0.25)])
    assert rounded.psnr < MIN_AGREEMENT_DB
    assert rounded.passed
    assert f"{reference.sensitivity:.1f} dB" in str(rounded)
    assert not reference.compare(lambda given: [-torch.sin(given[0] * 3e6)]).passed


def test_nothing_passes_that_is_not_a_number() -> None:
    assert not Verification(-math.inf, math.nan, sensitivity=-math.inf).passed


def test_exact_ops_have_no_excuse() -> None:
    almost = Verification(140.0, 1e-7, sensitivity=20.0, ops=3, exact=True)
    assert not almost.passed
    same = dataclasses.replace(almost, psnr=math.inf, largest_difference=0.0)
    assert same.passed
    assert str(same) == "3 ops with the same numbers bit for bit, and identical pictures"


def test_a_recording_says_whether_every_rounding_is_fixed() -> None:
    class Sum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return ops.pixel_shuffle(x + x, None, 2).to(memory_format=torch.channels_last)

    class Product(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return Sum()(x) * 0.1

    x = torch.rand(1, 4, 3, 3)
    assert record(Sum(), x).exact
    assert not record(Product(), x).exact


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.bits = pack_weight(torch.where(torch.rand(8, 8, 3, 3) < 0.5, -1.0, 1.0)).unsqueeze(0)

    def forward(self, x: Tensor) -> Tensor:
        return ops.binary_conv2d(x, torch.full((8,), 0.5), self.bits, torch.full((1, 8), 2.0), residual=x)


@pytest.fixture
def layer() -> tuple[ArtifactOp, object]:
    """An op with the numbers of a call, and that call."""
    (call,) = record(Layer(), torch.rand(1, 8, 5, 6)).calls
    info = OPS[OpKind.BINARY_CONV2D]
    arrays = [call.arguments[known.name] for known in info.constants]
    constants = tuple(
        None if array is None else known.of_torch(array.numpy())
        for known, array in zip(info.constants, arrays, strict=True)
    )
    op = Op(OpKind.BINARY_CONV2D, (0, None, None, None, 0), (1,), constants, (8, 3, 1))
    return ArtifactOp(op, 8), call


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("threshold", "its threshold has other values"),
        ("weight_bits", "its weight_bits has other values"),
        ("scale", "its scale has other values"),
    ],
)
def test_every_constant_is_compared_bit_for_bit(layer: tuple, name: str, message: str) -> None:
    item, call = layer
    assert difference(item, call) is None
    place = [known.name for known in OPS[OpKind.BINARY_CONV2D].constants].index(name)
    array = item.op.constants[place].copy()
    array.view(np.uint8).reshape(-1)[0] ^= 1
    constants = (*item.op.constants[:place], array, *item.op.constants[place + 1 :])
    assert difference(ArtifactOp(dataclasses.replace(item.op, constants=constants), 8), call) == message


def test_missing_parts_are_named(layer: tuple) -> None:
    item, call = layer
    without = dataclasses.replace(item.op, inputs=(0, None, None, None, None))
    assert difference(ArtifactOp(without, 8), call) == "its input residual is absent"
    without = dataclasses.replace(item.op, constants=(None, *item.op.constants[1:]))
    assert difference(ArtifactOp(without, 8), call) == "it has no threshold"
