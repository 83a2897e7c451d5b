"""Artefacts that are exported on first use and kept in the user's cache folder."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import bitsr.export
import bitsr.training
from bitsr.artifact import info as artifact
from bitsr.common.errors import ArtifactError, BitsrError

Say = Callable[[str], None]


def cache_folder() -> Path:
    """``bitsr`` in ``XDG_CACHE_HOME``, by default ``~/.cache``."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "bitsr"


def cached_artifact(weights: Path, *, model: str, kind: str, say: Say) -> Path:
    """The artefact of a weights file, a "pte" or "tflite", exported if the cache has no sound one.

    It is kept under the hash of the weights, of the exporter and of the framework versions, so that it is never out of
    date; several processes may ask at once.

    Raises:
        BitsrError: the export fails, or the cache folder cannot be written.
    """
    folder = cache_folder() / f"{model}-{kind}-{_key(weights, kind)}"
    path = folder / f"{model}.{kind}"
    if folder.exists():
        try:
            artifact.read_artifact(path)
            return path
        except ArtifactError as error:
            say(f"the cached artefact is not usable ({error}); it is exported anew")
            shutil.rmtree(folder, ignore_errors=True)
    from bitsr.export.export import export_model

    say(f"first use of {model} with these weights: exporting it to {path} (once, some seconds)")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    except OSError as error:
        raise BitsrError(
            f"cannot write the cache folder {folder.parent}: {error.strerror}; set XDG_CACHE_HOME to a writable "
            "folder, or export with `bitsr export` and pass the artefact with -m"
        ) from error
    try:
        export_model(model, weights=weights, output=building, formats=(kind,))
        try:
            building.rename(folder)
        except OSError as error:
            if not path.is_file():  # else another process was first, and its artefact is the same
                raise BitsrError(
                    f"cannot write {folder}: {error.strerror or error}; remove it and try again"
                ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return path


def _key(weights: Path, kind: str) -> str:
    digest = hashlib.sha256(weights.read_bytes())
    for distribution in artifact.PACKAGES[kind]:
        try:
            digest.update(version(distribution).encode())
        except PackageNotFoundError:
            digest.update(b"missing")  # the export will say so
    # A checkout's exporter and models change without a new version.
    for package in (bitsr.export, bitsr.training):
        for source in sorted(Path(folder) for folder in package.__path__):
            for file in sorted(source.rglob("*.py")):
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
