"""Artifacts of the built-in models that an installed bitsr carries, so that nothing has to be exported."""

from pathlib import Path

from bitsr.artifact.formats import ArtifactFormat
from bitsr.common.installation import checkout


def pretrained_folder() -> Path:
    """``bitsr/pretrained`` of an installed package."""
    return Path(__file__).resolve().parents[1] / "pretrained"


def pretrained_artifact(model_id: str, kind: ArtifactFormat) -> Path | None:
    """The artifact of a built-in model, None where this bitsr carries none.

    In a checkout it could be older than weights and exporter, so none there counts.
    """
    path = pretrained_folder() / f"{model_id}{kind.suffix}"
    return path if path.is_file() and checkout() is None else None
