"""What all tests share."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Artifacts of the tests stay out of the user's cache; one folder serves the whole run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def photo(repository: Path) -> Path:
    """A real photo, 451x300 pixels."""
    return repository / "assets" / "chelsea.png"


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the tiny network ``test_ebsr_plus_x2``, away from their initial values; a room may have its own."""
    import torch

    from bitsr.artifact.weights import WeightsInfo
    from bitsr.training.models import create_model
    from bitsr.training.weights import save_weights

    name = "test_ebsr_plus_x2"
    generator = torch.Generator().manual_seed(5)
    torch.manual_seed(5)
    model = create_model(name)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.empty_like(parameter).uniform_(-0.2, 0.2, generator=generator))
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, model.state_dict(), WeightsInfo(model=name))
    return path
