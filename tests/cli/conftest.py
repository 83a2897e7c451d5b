"""Running commands in this process."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from bitsr.artifact.weights import WeightsInfo
from bitsr.cli import main
from bitsr.training.models import create_model
from bitsr.training.weights import save_weights


@dataclass(frozen=True)
class Outcome:
    """Exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that begins with ``error:``."""
        lines = [line for line in self.err.splitlines() if line.startswith("error:")]
        assert len(lines) == 1, self.err
        return lines[0]


@pytest.fixture
def bitsr(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """``bitsr("upscale", "-i", ...)`` runs the command line and returns what it did."""

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights of the tiny x2 model."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, create_model("test_ebsr_plus_x2").state_dict(), WeightsInfo(model="test_ebsr_plus_x2"))
    return path
