"""Which files of a folder are pictures, and what the others are."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bitsr.common.errors import UsageError
from bitsr.common.pictures.kinds import advice, is_picture, unsupported_kind

FOLDER = "folder"
OTHER = "other file"
EARLIER_RESULT = "earlier result"
# Kinds that are not left out for what their files are.
_PLAIN = (FOLDER, OTHER, EARLIER_RESULT)


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder, sorted by path, and how many files of each other kind are left out."""

    pictures: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def remark(self) -> str:
        """What is left out and why, such as "left out: 2 HEIC files (...), 1 folder (...)"; empty if nothing is."""
        parts = []
        for kind, count in sorted(self.left_out.items(), key=lambda item: (item[0] in _PLAIN, item[0])):
            noun = kind if kind in _PLAIN else f"{kind} file"
            counted = f"{count} {noun}{'s' if count > 1 else ''}"
            if kind == FOLDER:
                counted += " (--recursive enters them)"
            elif kind not in _PLAIN:
                counted += f" (not supported; {advice(kind)})"
            parts.append(counted)
        return f"left out: {', '.join(parts)}" if parts else ""


def survey(folder: Path | str, *, recursive: bool = False, without: Path | None = None) -> Listing:
    """Look at every file of ``folder``, and of its sub-folders if ``recursive``, but not at ``without`` in it.

    Hidden files, whose names begin with a dot, are not counted; links to folders are not followed.

    Raises:
        UsageError: the folder does not exist or cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"there is no picture folder {folder}; give the folder that holds the pictures")
    listing = Listing()
    for path in _entries(folder, recursive=recursive, without=without):
        if path.is_dir():
            listing.left_out[FOLDER] += 1
        elif not path.is_file():
            listing.left_out[OTHER] += 1
        elif is_picture(path):
            listing.pictures.append(path)
        else:
            listing.left_out[unsupported_kind(path) or OTHER] += 1
    listing.pictures.sort()
    return listing


def list_pictures(folder: Path | str, *, recursive: bool = True) -> list[Path]:
    """The pictures of ``folder`` (and its sub-folders), sorted by path.

    Raises:
        UsageError: the folder does not exist, cannot be read or holds no picture.
    """
    listing = survey(folder, recursive=recursive)
    check_found(listing, folder)
    return listing.pictures


def check_found(listing: Listing, folder: Path | str) -> None:
    """Refuse a folder without pictures.

    Raises:
        UsageError: there is none.
    """
    if not listing.pictures:
        remark = listing.remark()
        raise UsageError(
            f"there is no picture in {folder}; expected files like name.png or name.jpg" + (remark and f"; {remark}")
        )


def _entries(folder: Path, *, recursive: bool, without: Path | None) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise UsageError(f"cannot read the folder {error.filename}: {error.strerror}; choose another") from error

    for root, folders, files in os.walk(folder, onerror=refuse):
        shown = sorted(name for name in folders if not name.startswith("."))
        inside = [Path(root, name) for name in shown]
        if without is not None and without.exists():
            inside = [path for path in inside if not path.samefile(without)]
        yield from (Path(root, name) for name in sorted(files) if not name.startswith("."))
        if recursive:
            folders[:] = [path.name for path in inside if not path.is_symlink()]
            yield from (path for path in inside if path.is_symlink())
        else:
            yield from inside
            folders.clear()
