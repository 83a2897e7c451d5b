"""Files that are written completely or not at all."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitsr.common.errors import BitsrError, NoSpaceError, UsageError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL}


@contextmanager
def atomic_write(path: Path | str, *, suffix: str = "", replace: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is renamed to ``path``, on an error it is removed.

    An existing file is replaced only by a complete new one; a symbolic link stays, and the file that it leads to is
    replaced. Without ``replace`` an existing file stays, also one that appeared while this one was written: of several
    writers of one name exactly one succeeds. ``suffix`` ends the temporary name, for writers that choose the format by
    the extension.

    Raises:
        UsageError: ``path`` exists, without ``replace``.
        NoSpaceError: the disk is full.
        BitsrError: the folder does not exist or cannot be written, or ``path`` is a folder.
    """
    path = Path(path)
    target = Path(os.path.realpath(path))
    try:
        # Not named after the target, whose name may be as long as a name can be.
        handle, name = tempfile.mkstemp(prefix=".bitsr-", suffix=suffix or ".tmp", dir=target.parent)
    except OSError as error:
        raise _write_error(path, error, "choose a folder that exists and is writable") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp creates the file for its owner alone; a finished file has the usual rights.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        if replace:
            os.replace(temporary, target)
        else:
            try:
                _move_to_new(temporary, target)
            except FileExistsError as error:
                raise UsageError(f"{path} exists; choose another output, or replace it with --overwrite") from error
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _write_error(path, error, "make room or choose another output, nothing was changed") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def cache_folder() -> Path:
    """``bitsr`` in ``XDG_CACHE_HOME``, by default ``~/.cache``."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "bitsr"


def _move_to_new(source: Path, target: Path) -> None:
    """Give a file a name that nothing has; raises FileExistsError where something has it."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # No hard links here: the name is taken with an empty file, which is replaced.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(source, target)
    else:
        source.unlink()


def _write_error(path: Path, error: OSError, advice: str) -> BitsrError:
    kind = NoSpaceError if error.errno in _NO_SPACE else BitsrError
    return kind(f"cannot write {path}: {error.strerror or error}; {advice}")


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
        NoSpaceError: the disk is full.
        BitsrError: it cannot be created, or is a file.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        kind = NoSpaceError if error.errno in _NO_SPACE else BitsrError
        raise kind(f"cannot create the folder {path}: {error.strerror or error}; choose another") from error
