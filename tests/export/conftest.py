"""Models whose every learned number is away from its initial value, pictures, and an interpreter of programs."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bitsr.artifact.program import Op, OpKind, Program, ValueKind
from bitsr.export import ops
from bitsr.training.models import SuperResolutionModel, create_model, list_models
from bitsr.training.models.ebsr import EbsrConfig, ebsr

TINY_MODELS = list_models("test_*", kind="direct")
# The ablations of EBSR are registered at full size; these are the same switches on a small network. 70 channels need
# two words a pixel.
TINY_ABLATIONS = {
    "baseline": EbsrConfig(channels=8, blocks=1, channel="none", spatial=False),
    "spatial": EbsrConfig(channels=70, blocks=1, channel="none"),
    "unfused": EbsrConfig(channels=8, blocks=1, channel="unfused"),
    "fused": EbsrConfig(channels=70, blocks=1, channel="fused"),
}


def build(name: str) -> SuperResolutionModel:
    """A tiny model by its id or by an ablation's name, in evaluation mode and perturbed."""
    torch.manual_seed(1)
    if name in TINY_ABLATIONS:
        model: SuperResolutionModel = ebsr(2, TINY_ABLATIONS[name])
    else:
        model = create_model(name)
    return perturb(model).eval()


def perturb(model: SuperResolutionModel) -> SuperResolutionModel:
    """Move vectors and scalars (thresholds, alphas, slopes, biases, BN) away from their initial values.

    BN weights and alphas become negative in part, PReLU slopes reach from -0.2 to 0.6.
    """
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-5, 5, generator=generator)
                module.running_var.uniform_(20, 90, generator=generator)
                module.weight.uniform_(-1, 1, generator=generator)
                module.bias.uniform_(-0.3, 0.3, generator=generator)
            elif isinstance(module, nn.PReLU):
                module.weight.uniform_(-0.2, 0.6, generator=generator)
        for name, parameter in model.named_parameters():
            if name.endswith("activation_binarizer.a"):
                parameter.uniform_(-1.5, -0.5, generator=generator)
            elif name.endswith("activation_binarizer.b"):
                parameter.uniform_(-0.3, 0.3, generator=generator)
            elif name.endswith("activation_binarizer.shift"):  # on the scale of BBCU's amplified activations
                parameter.uniform_(-0.3, 1.5, generator=generator)
            elif name.endswith((".binary.a", ".residual.a")):
                parameter.uniform_(0.8, 1.3, generator=generator)
            elif parameter.dim() == 1 and "norm" not in name and "activation" not in name:
                parameter.add_(torch.empty_like(parameter).uniform_(-0.2, 0.2, generator=generator))
    return model


def picture(height: int, width: int, *, channels: int = 3) -> Tensor:
    """A smooth picture with some noise, (1, channels, height, width) in [0, 1]."""
    generator = torch.Generator().manual_seed(height * 1000 + width)
    y, x = torch.linspace(0, 5, height)[:, None], torch.linspace(0, 7, width)[None, :]
    waves = torch.stack([0.5 + 0.4 * torch.sin(y + c) * torch.cos(x - c) for c in range(channels)])
    noise = 0.1 * torch.rand(1, channels, height, width, generator=generator)
    return (waves[None] + noise).clamp(0, 1).contiguous()


def interpret(program: Program, inputs: list[Tensor]) -> list[Tensor]:
    """Run a program with the eager ops: what the runtime has to compute, from the blob's numbers alone."""
    values: dict[int, Tensor] = dict(zip(program.inputs, inputs, strict=True))
    for op in program.ops:
        for number, result in zip(op.outputs, _results(op, values), strict=True):
            if number is not None:
                values[number] = result
    for number, tensor in values.items():
        value = program.values[number]
        height, width = inputs[0].shape[2:]
        size = (height * value.up // value.down, width * value.up // value.down)
        expected = (1, value.channels) if value.kind is ValueKind.VECTOR else (1, value.channels, *size)
        assert tensor.shape == expected
    return [values[number] for number in program.outputs]


def _results(op: Op, values: dict[int, Tensor]) -> tuple[Tensor | None, ...]:
    args = [None if number is None else values[number] for number in op.inputs]
    data = [
        None if c is None else torch.from_numpy(c.copy().view("<i8") if c.dtype == "<u8" else c.copy())
        for c in op.constants
    ]
    if op.kind is OpKind.BINARY_CONV2D:
        x, threshold, channel_gain, spatial_gain, residual = args
        static, bits, scale, shift, inner_slope, inner_shift, slope = data
        threshold = static if threshold is None else threshold
        gains = (channel_gain, spatial_gain)
        return (ops.binary_conv2d(x, threshold, bits, scale, shift, inner_slope, inner_shift, *gains, residual, slope),)
    if op.kind is OpKind.CHANNEL_GATE:
        linear = op.attributes[2]
        v = ops.channel_gate(args[0], *data, False)
        return (v[:, :linear] if linear else None, v[:, linear:].sigmoid())
    if op.kind is OpKind.SPATIAL_GATE:
        return (ops.spatial_gate(args[0], data[0].permute(2, 0, 1)[None].contiguous(), data[1]),)
    if op.kind is OpKind.QUANTIZED_SPATIAL_GATE:
        weight = data[0].permute(2, 0, 1)[None].contiguous()
        return (ops.quantized_spatial_gate(args[0], weight, *data[1:], *op.attributes[1:]),)
    if op.kind is OpKind.QUANTIZED_CONV2D:
        weight = data[0].permute(0, 3, 1, 2)
        return (ops.quantized_conv2d(args[0], weight, *data[1:], *op.attributes[3:]),)
    if op.kind is OpKind.CHANNEL_NORM:
        return (ops.channel_norm(args[0], *data),)
    if op.kind is OpKind.PIXEL_GATE:
        return (ops.pixel_gate(args[0], *data),)
    if op.kind is OpKind.RESCALE:
        return (ops.rescale(args[0], data[0], *args[1:]),)
    if op.kind is OpKind.ADD:
        return (args[0] + args[1],)
    return (ops.pixel_shuffle(args[0], args[1], op.attributes[0]),)


@pytest.fixture(scope="session")
def build_model() -> Callable[[str], SuperResolutionModel]:
    return build


@pytest.fixture(scope="session")
def make_picture() -> Callable[..., Tensor]:
    return picture


@pytest.fixture(scope="session")
def run_program() -> Callable[[Program, list[Tensor]], list[Tensor]]:
    return interpret


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``any_tiny`` runs over every tiny model and ablation."""
    if "any_tiny" in metafunc.fixturenames:
        metafunc.parametrize("any_tiny", [*TINY_MODELS, *TINY_ABLATIONS])
