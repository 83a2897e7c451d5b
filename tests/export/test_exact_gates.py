"""Float ops in eager PyTorch and in the kernels of every instruction set: same bits, ARCHITECTURE.md, laws 5, 6."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bitsr.artifact.program import OPS, Op, OpKind, Program, Value, ValueKind, write_program
from bitsr.export import ops
from bitsr.runtime import isa_names
from bitsr.runtime.program import NativeProgram

SHAPES = {
    "channels": st.sampled_from([1, 3, 8, 15, 16, 17, 48, 64, 65, 130]),
    "height": st.integers(1, 7),
    "width": st.integers(1, 37),
    "seed": st.integers(0, 2**16),
}


def numbers(*shape: int, seed: int, spread: float = 1.0) -> Tensor:
    """Normal numbers whose size differs by orders of magnitude, so that the order of their sums shows."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.exp(spread * torch.randn(shape, generator=generator))
    return sizes * torch.randn(shape, generator=generator)


def same_everywhere(
    kind: OpKind, x: Tensor, constants: dict[str, Tensor], attributes: tuple[int, ...], expected: list[Tensor | None]
) -> None:
    """The op alone, on every instruction set of this machine, gives ``expected`` bit for bit."""
    info = OPS[kind]
    program = Program()
    program.inputs = [program.add_value(Value(ValueKind.MAP, x.shape[1]))]
    results = tuple(
        None if values is None else program.add_value(Value(operand.kind, values.shape[1]))
        for values, operand in zip(expected, info.outputs, strict=True)
    )
    program.outputs = [number for number in results if number is not None]
    arrays = tuple(
        item.of_torch(constants[item.name].numpy()) if item.name in constants else None for item in info.constants
    )
    program.ops = [Op(kind, (program.inputs[0],), results, arrays, attributes)]
    blob = write_program(program)
    for isa in isa_names():
        found = NativeProgram(blob, isa=isa).run(x.numpy())
        for got, values in zip(found, [values for values in expected if values is not None], strict=True):
            np.testing.assert_array_equal(got.reshape(values.shape), values.numpy(), err_msg=isa)


@settings(max_examples=30, deadline=None)
@given(hidden=st.integers(1, 9), **SHAPES)
def test_channel_gates(hidden: int, channels: int, height: int, width: int, seed: int) -> None:
    x = numbers(2, channels, height, width, seed=seed)
    shapes = {"w1": (hidden, channels), "b1": (hidden,), "w2": (2 * channels, hidden), "b2": (2 * channels,)}
    layers = {name: numbers(*shape, seed=seed + i) for i, (name, shape) in enumerate(shapes.items(), start=1)}
    kind, attributes = OpKind.CHANNEL_GATE, (hidden, 2 * channels)
    shift, gain = ops.channel_shift_gate(x, **layers)
    same_everywhere(kind, x, layers, (*attributes, channels), [shift, gain])
    same_everywhere(kind, x, layers, (*attributes, 2 * channels), [ops.channel_gate(x, **layers, sigmoid=False), None])
    same_everywhere(kind, x, layers, (*attributes, 0), [None, ops.channel_gate(x, **layers, sigmoid=True)])


@settings(max_examples=40, deadline=None)
@given(kernel=st.sampled_from([1, 3]), **SHAPES)
def test_spatial_gates(kernel: int, channels: int, height: int, width: int, seed: int) -> None:
    x = numbers(2, channels, height, width, seed=seed)
    weight, bias = numbers(1, channels, kernel, kernel, seed=seed + 1), numbers(1, seed=seed + 2)
    expected = ops.spatial_gate(x, weight, bias)
    same_everywhere(OpKind.SPATIAL_GATE, x, {"weight": weight, "bias": bias}, (kernel,), [expected])


@settings(max_examples=30, deadline=None)
@given(kernel=st.sampled_from([1, 3]), levels=st.sampled_from([(128, 127), (8, 7), (0, 15)]), **SHAPES)
def test_quantized_spatial_gates(
    kernel: int, levels: tuple[int, int], channels: int, height: int, width: int, seed: int
) -> None:
    x = numbers(2, channels, height, width, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    constants = {
        "weight": torch.randint(-128, 128, (1, channels, kernel, kernel), dtype=torch.int8, generator=generator),
        "inverse_step": torch.tensor([levels[1] / 3.0]),
        "scale": torch.tensor([1e-2 / channels / levels[1]]),
        "bias": numbers(1, seed=seed + 1),
    }
    expected = ops.quantized_spatial_gate(x, *constants.values(), *levels)
    same_everywhere(OpKind.QUANTIZED_SPATIAL_GATE, x, constants, (kernel, *levels), [expected])


@settings(max_examples=40, deadline=None)
@given(
    kernel=st.sampled_from([1, 3]),
    out_channels=st.sampled_from([1, 3, 16, 27, 48, 65]),
    levels=st.sampled_from([(0, 255), (2047, 2047), (32768, 32767)]),
    borders=st.booleans(),
    sloped=st.booleans(),
    **SHAPES,
)
def test_quantized_convolutions(
    kernel: int,
    out_channels: int,
    levels: tuple[int, int],
    borders: bool,
    sloped: bool,
    channels: int,
    height: int,
    width: int,
    seed: int,
) -> None:
    x = numbers(2, channels, height, width, seed=seed, spread=0.5)
    x.view(-1)[:3] = torch.tensor([np.nan, np.inf, -np.inf])[: x.numel()]
    generator = torch.Generator().manual_seed(seed)
    # The sums of the largest levels must fit: 9 taps of 130 channels, 15 bits and 5.
    most = 128 if levels[1] < 1 << 12 else 32
    shape = (out_channels, channels, kernel, kernel)
    weight = torch.randint(-most, most, shape, dtype=torch.int8, generator=generator)
    classes = 16 if borders and kernel == 3 else 1
    constants = {
        "weight": weight,
        "inverse_step": levels[1] / 4 * torch.exp2(torch.randint(-3, 4, (channels,), generator=generator)),
        "scale": numbers(out_channels, seed=seed + 1) / (most * levels[1]),
        "bias": numbers(classes, out_channels, seed=seed + 2),
    }
    slope = numbers(out_channels, seed=seed + 3) if sloped else None
    expected = ops.quantized_conv2d(x, *constants.values(), slope, *levels)
    if slope is not None:
        constants["slope"] = slope
    attributes = (out_channels, kernel, classes, *levels)
    same_everywhere(OpKind.QUANTIZED_CONV2D, x, constants, attributes, [expected])


@settings(max_examples=40, deadline=None)
@given(**SHAPES)
def test_channel_norms(channels: int, height: int, width: int, seed: int) -> None:
    x = numbers(2, channels, height, width, seed=seed)
    constants = {
        "weight": numbers(channels, seed=seed + 1),
        "bias": numbers(channels, seed=seed + 2),
        "epsilon": torch.tensor([1e-5]),
    }
    expected = ops.channel_norm(x, **constants)
    same_everywhere(OpKind.CHANNEL_NORM, x, constants, (), [expected])


@settings(max_examples=30, deadline=None)
@given(out_channels=st.sampled_from([1, 3, 16, 27, 65]), **SHAPES)
def test_pixel_gates(out_channels: int, channels: int, height: int, width: int, seed: int) -> None:
    x = numbers(2, channels, height, width, seed=seed)
    constants = {"weight": numbers(out_channels, channels, seed=seed + 1), "bias": numbers(out_channels, seed=seed + 2)}
    expected = ops.pixel_gate(x, **constants)
    same_everywhere(OpKind.PIXEL_GATE, x, constants, (out_channels,), [expected])


@settings(max_examples=40, deadline=None)
@given(
    parts=st.sets(st.sampled_from(["scale", "channel_gain", "spatial_gain", "gain", "residual"])),
    **SHAPES,
)
def test_rescales(parts: set[str], channels: int, height: int, width: int, seed: int) -> None:
    shapes = {
        "scale": (channels,),
        "channel_gain": (1, channels),
        "spatial_gain": (1, 1, height, width),
        "gain": (1, channels, height, width),
        "residual": (1, channels, height, width),
    }
    x = numbers(1, channels, height, width, seed=seed)
    given = {name: numbers(*shapes[name], seed=seed + i) for i, name in enumerate(sorted(parts), start=1)}
    program, info = Program(), OPS[OpKind.RESCALE]
    maps = [x] + [given[item.name] for item in info.inputs if item.name in given]
    places = tuple(
        program.add_value(Value(item.kind, 1 if item.kind is ValueKind.PLANE else channels))
        if item.name == "x" or item.name in given
        else None
        for item in info.inputs
    )
    program.inputs = [place for place in places if place is not None]
    program.outputs = [program.add_value(Value(ValueKind.MAP, channels))]
    scale = given["scale"].numpy() if "scale" in given else None
    program.ops = [Op(OpKind.RESCALE, places, (program.outputs[0],), (scale,), ())]
    blob, expected = write_program(program), ops.rescale(x, **given)
    for isa in isa_names():
        (got,) = NativeProgram(blob, isa=isa).run(*(values.numpy() for values in maps))
        np.testing.assert_array_equal(got.reshape(expected.shape), expected.numpy(), err_msg=isa)


def sigmoid_of(x: Tensor) -> Tensor:
    """A 1x1 gate of weight 1 and bias 0 passes its input on to the sigmoid."""
    constants: dict[str, Any] = {"weight": torch.ones(1, 1, 1, 1), "bias": torch.zeros(1)}
    y = ops.spatial_gate(x.reshape(1, 1, 1, -1), **constants)
    same_everywhere(OpKind.SPATIAL_GATE, x.reshape(1, 1, 1, -1), constants, (1,), [y])
    return y.flatten()


def test_the_sigmoid_over_its_whole_range() -> None:
    x = torch.linspace(-100, 100, 40001)
    assert (sigmoid_of(x).double() - x.double().sigmoid()).abs().max() < 1e-7


@pytest.mark.parametrize(
    ("x", "y"),
    [(-np.inf, 0.0), (-3e38, 0.0), (-0.0, 0.5), (0.0, 0.5), (1e-45, 0.5), (3e38, 1.0), (np.inf, 1.0), (np.nan, np.nan)],
)
def test_the_sigmoid_of_any_float(x: float, y: float) -> None:
    # Below exp(-80) the gain is what is left of it: no float64 tells it from 0 in a picture.
    torch.testing.assert_close(sigmoid_of(torch.tensor([x])), torch.tensor([y]), rtol=0, atol=2e-35, equal_nan=True)
