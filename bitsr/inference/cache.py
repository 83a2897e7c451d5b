"""Artifacts that are exported on first use and kept in the user's cache folder."""

import hashlib
import logging
import shutil
import tempfile
from pathlib import Path

from bitsr.artifact.artifact import Artifact
from bitsr.artifact.formats import ArtifactFormat
from bitsr.common.errors import ArtifactError, BitsrError
from bitsr.common.files import cache_folder
from bitsr.common.installation import checkout

log = logging.getLogger(__name__)


def cached_artifact(weights: Path, *, model: str, kind: ArtifactFormat) -> Path:
    """The artifact of a weights file, exported if the cache has no sound one.

    It is kept under the hash of the weights, of the exporter and of the framework versions, so that it is never out of
    date; several processes may ask at once.

    Raises:
        BitsrError: the export fails, or the cache folder cannot be written.
    """
    folder = cache_folder() / f"{model}-{kind.name}-{_key(weights, kind)}"
    path = folder / f"{model}{kind.suffix}"
    if folder.exists():
        try:
            Artifact.open(path)
            return path
        except ArtifactError as error:
            log.warning("the cached artifact is not usable (%s); it is exported anew", error)
            shutil.rmtree(folder, ignore_errors=True)
    from bitsr.export.export import export_model

    log.info("first use of %s with these weights: exporting it to %s (once, some seconds)", model, path)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    except OSError as error:
        raise BitsrError(
            f"cannot write the cache folder {folder.parent}: {error.strerror}; set XDG_CACHE_HOME to a writable "
            "folder, or export with `bitsr export` and pass the artifact with -m"
        ) from error
    try:
        export_model(model, weights=weights, output=building, formats=(kind.name,))
        try:
            building.rename(folder)
        except OSError as error:
            if not path.is_file():  # else another process was first, and its artifact is the same
                raise BitsrError(
                    f"cannot write {folder}: {error.strerror or error}; remove it and try again"
                ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return path


def _key(weights: Path, kind: ArtifactFormat) -> str:
    from importlib.metadata import PackageNotFoundError, version

    digest = hashlib.sha256(weights.read_bytes())
    for distribution in kind.exported_with:
        try:
            digest.update(version(distribution).encode())
        except PackageNotFoundError:
            digest.update(b"missing")  # the export will say so
    top = checkout()
    if top is not None:  # its exporter and models change without a new version
        for folder in (top / "export", top / "training"):
            for file in sorted(folder.rglob("*.py")):
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
