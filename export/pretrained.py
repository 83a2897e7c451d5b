"""The .tflite of the weights that come with bitsr: a wheel carries them, so that upscaling needs no exporter."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from bitsr.artifact.artifact import read_artifact
from bitsr.common.errors import ArtifactError
from bitsr.common.installation import top_folder
from bitsr.export.export import export_model
from bitsr.export.loading import weights_digest
from bitsr.training.weights import load_model

log = logging.getLogger(__name__)
PRETRAINED = top_folder() / "bitsr" / "pretrained"
WEIGHTS = top_folder() / "training" / "weights"


def export_pretrained(folder: Path = PRETRAINED, *, weights: Path = WEIGHTS) -> list[Path]:
    """Export the .tflite of every weights file (``<model id>.safetensors``) in ``weights``.

    Those that the weights no longer have a file for are removed from ``folder``.

    Raises:
        BitsrError: an export fails.
    """
    sources = sorted(weights.glob("*.safetensors"))
    for stale in set(folder.glob("*.tflite")) - {folder / f"{source.stem}.tflite" for source in sources}:
        stale.unlink()
    for source in sources:
        log.info("exporting %s", source.stem)
        export_model(source.stem, weights=source, output=folder, formats=("tflite",), overwrite=True)
    check_pretrained(folder, weights=weights)
    return [folder / f"{source.stem}.tflite" for source in sources]


def check_pretrained(folder: Path = PRETRAINED, *, weights: Path = WEIGHTS) -> None:
    """Compare the hash of the weights that each artifact was made from with the weights.

    Raises:
        ArtifactError: an artifact is missing, unreadable, or was made from other weights.
    """
    for source in sorted(weights.glob("*.safetensors")):
        path = folder / f"{source.stem}.tflite"
        found = read_artifact(path).weights_sha256
        wanted = weights_digest(load_model(source).state_dict())
        if found != wanted:
            raise ArtifactError(
                f"{path} was made from weights {found[:12]}..., expected those of {source}, {wanted[:12]}...; make it "
                "anew with `make artifacts`"
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """``python -m bitsr.export.pretrained``: export, or with ``--check`` only compare."""
    parser = argparse.ArgumentParser(prog="python -m bitsr.export.pretrained", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare the artifacts with the weights")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if parser.parse_args(arguments).check:
        check_pretrained()
    else:
        export_pretrained()


if __name__ == "__main__":
    main()
