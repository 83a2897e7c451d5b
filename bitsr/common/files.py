"""Files that are written completely or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitsr.common.errors import BitsrError, UsageError


@contextmanager
def atomic_write(path: Path | str, *, suffix: str = "") -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is renamed to ``path``, on an error it is removed.

    An existing file is replaced only by a complete new one. ``suffix`` ends the temporary name, for writers that
    choose the format by the extension.

    Raises:
        BitsrError: the folder does not exist or cannot be written, the disk is full, or ``path`` is a folder.
    """
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=suffix or ".tmp", dir=path.parent)
    except OSError as error:
        raise BitsrError(
            f"cannot write {path}: {error.strerror or error}; choose a folder that exists and is writable"
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp creates the file for its owner alone; a finished file has the usual rights.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BitsrError(
            f"cannot write {path}: {error.strerror or error}; make room or choose another output, nothing was changed"
        ) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_writable(path: Path | str) -> None:
    """Refuse an output file early: before the work that it is for, not after it.

    Raises:
        UsageError: ``path`` is a folder, or its folder does not exist.
        BitsrError: this user may not write there.
    """
    path = Path(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name an output file")
    if not path.parent.is_dir():
        raise UsageError(f"the folder {path.parent} does not exist; create it or choose another output")
    check_folder(path.parent)


def check_folder(path: Path | str) -> None:
    """Refuse an output folder that cannot be created or written: the nearest folder above it that exists decides.

    Raises:
        UsageError: that is a file.
        BitsrError: this user may not write there.
    """
    path = Path(path)
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not existing.is_dir():
        raise UsageError(f"cannot write into {path}: {existing} is no folder; choose another output")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise BitsrError(f"cannot write into {path}: permission denied in {existing}; choose another output")


def make_folder(path: Path | str) -> None:
    """Create a folder for results, and its parents.

    Raises:
        BitsrError: it cannot be created, or is a file.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BitsrError(f"cannot create the folder {path}: {error.strerror or error}; choose another") from error
