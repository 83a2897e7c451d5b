"""One export of each kind for all tests: they take most of the time."""

import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bitsr.export.deploy import fold
from bitsr.export.export import ExportResult, export_model
from bitsr.training.models import SuperResolutionModel, create_model

# Not importorskip: importing onnx2tf loads TensorFlow, which must come after torch's compiler.
if not all(find_spec(package) for package in ("ai_edge_litert", "onnx2tf", "tensorflow")):
    pytest.skip("needs bitsr[export]", allow_module_level=True)

EBSR, E2FIF = "test_ebsr_plus_x2", "test_e2fif_x2"


def build(name: str) -> SuperResolutionModel:
    """A tiny model whose vectors (thresholds, biases, slopes, statistics) are away from their initial values."""
    generator = torch.Generator().manual_seed(3)
    torch.manual_seed(3)
    model = create_model(name)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-5, 5, generator=generator)
                module.running_var.uniform_(20, 90, generator=generator)
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.empty_like(parameter).uniform_(-0.2, 0.2, generator=generator))
    return model.eval()


class Body(nn.Module):
    """What our kernels run of a network: (1, C, H, W) -> (1, C, H, W), in the memory format of the network's body."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.body = network.body

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(memory_format=torch.channels_last)
        return (self.body(x) + x).to(memory_format=torch.contiguous_format)


@pytest.fixture(scope="session")
def ebsr() -> SuperResolutionModel:
    return build(EBSR)


@pytest.fixture(scope="session")
def connections() -> list[object]:
    """Where the export of EBSR+ tried to connect to, or whose address it asked for: all of it failed."""
    return []


@pytest.fixture(scope="session")
def ebsr_export(
    ebsr: SuperResolutionModel, tmp_path_factory: pytest.TempPathFactory, connections: list[object]
) -> ExportResult:
    """.pte, .tflite and .tflite in stock ops of EBSR+, exported with the network cut."""

    def refuse(*arguments: object, **_: object) -> None:
        connections.append(arguments)
        raise OSError("the network is cut")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        return export_model(
            ebsr, output=tmp_path_factory.mktemp("ebsr"), formats=("pte", "tflite"), stock_ops=True, max_pixels=64 * 64
        )


@pytest.fixture(scope="session")
def e2fif_bodies(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, ExportResult]:
    """The body of E2FIF in PyTorch, and as .pte and .tflite."""
    body = Body(fold(build(E2FIF)))
    return body, _export_body(body, tmp_path_factory.mktemp("e2fif"))


@pytest.fixture(scope="session")
def ebsr_bodies(ebsr: SuperResolutionModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, ExportResult]:
    """The body of EBSR+ in PyTorch, and as .pte and .tflite."""
    body = Body(fold(ebsr))
    return body, _export_body(body, tmp_path_factory.mktemp("ebsr_body"))


def _export_body(body: nn.Module, folder: Path) -> ExportResult:
    channels = next(module for module in body.modules() if hasattr(module, "in_channels")).in_channels
    return export_model(
        body, output=folder, formats=("pte", "tflite"), name="body", scale=1, in_channels=channels, max_pixels=64 * 64
    )


@pytest.fixture(scope="session")
def make_map() -> Callable[..., Tensor]:
    """``make_map(height, width, channels=3)``: noise in [0, 1) around a gradient."""

    def make(height: int, width: int, *, channels: int = 3) -> Tensor:
        generator = torch.Generator().manual_seed(1000 * height + width)
        ramp = torch.linspace(0, 1, width).expand(1, channels, height, width)
        return 0.7 * ramp + 0.3 * torch.rand(1, channels, height, width, generator=generator)

    return make
