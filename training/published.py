"""Folders of pictures as they are published: originals (HR), and reduced ones (LR) beside them.

DIV2K has ``DIV2K_train_HR/0001.png`` and ``DIV2K_train_LR_bicubic/X4/0001x4.png``, Flickr2K ``Flickr2K_HR`` and
``Flickr2K_LR_bicubic/X4``, the benchmark sets of EDSR's code ``Set5/HR`` and ``Set5/LR_bicubic/X4``.
"""

from pathlib import Path

from bitsr.common.errors import UsageError
from bitsr.common.pictures import list_pictures, survey

_ORIGINALS, _REDUCED = "HR", "LR_bicubic"


def originals(folder: Path | str) -> Path:
    """The folder of the originals: the given one, or within a set's own folder its ``..._HR``.

    Raises:
        UsageError: the folder holds several of those.
    """
    folder = Path(folder)
    if not folder.is_dir() or survey(folder).pictures:
        return folder
    found = sorted(entry for entry in folder.iterdir() if entry.is_dir() and entry.name.endswith(_ORIGINALS))
    if len(found) > 1:
        raise UsageError(
            f"{folder} holds several folders of originals ({', '.join(entry.name for entry in found)}); name one of "
            "them, because a part of a set is kept for validation"
        )
    return found[0] if found else folder


def reduced_beside(folder: Path, *, scale: int) -> Path | None:
    """The folder of the pictures of ``folder`` reduced by MATLAB's bicubic, where it is published beside it."""
    if not folder.name.endswith(_ORIGINALS):
        return None
    beside = folder.with_name(folder.name.removesuffix(_ORIGINALS) + _REDUCED) / f"X{scale}"
    return beside if beside.is_dir() else None


def reduced_pictures(pictures: list[Path], folder: Path, *, scale: int) -> list[Path]:
    """The reduced picture of each original, by name: ``0001x4.png`` or ``0001.png`` of ``0001.png``.

    Raises:
        UsageError: one has none; the first is named.
    """
    known = {path.stem: path for path in list_pictures(folder)}
    found = []
    for path in pictures:
        partner = known.get(f"{path.stem}x{scale}") or known.get(path.stem)
        if partner is None:
            raise UsageError(
                f"there is no {path.stem}x{scale}{path.suffix} in {folder} for {path}; complete the folder, or let the "
                "originals be reduced here: data.low=made"
            )
        found.append(partner)
    return found
