"""Artifacts of the built-in models that an installed bitsr carries, so that nothing has to be exported."""

from pathlib import Path

from bitsr.artifact.formats import ArtifactFormat


def pretrained_folder() -> Path:
    """``bitsr/pretrained`` of an installed package."""
    return Path(__file__).resolve().parents[1] / "pretrained"


def is_checkout() -> bool:
    """Whether bitsr runs from its sources: an artifact there could be older than weights and exporter."""
    return (Path(__file__).resolve().parents[2] / "pyproject.toml").is_file()


def pretrained_artifact(model_id: str, kind: ArtifactFormat) -> Path | None:
    """The artifact of a built-in model, None where this bitsr carries none."""
    path = pretrained_folder() / f"{model_id}{kind.suffix}"
    return path if path.is_file() and not is_checkout() else None
