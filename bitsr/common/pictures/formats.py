"""File formats: which files are taken for pictures, and what formats of results can carry."""

from dataclasses import dataclass
from pathlib import Path

from bitsr.common.errors import UsageError


@dataclass(frozen=True)
class Format:
    """A file format of results: its Pillow name, what it can carry, and how it is written (``streamed``: by rows)."""

    name: str
    alpha: bool
    max_side: int
    options: dict[str, object]
    streamed: bool = False


FORMATS = {
    ".png": Format("PNG", True, 2**31 - 1, {}, streamed=True),
    ".jpg": Format("JPEG", False, 65500, {"quality": 95, "subsampling": 0}),
    ".jpeg": Format("JPEG", False, 65500, {"quality": 95, "subsampling": 0}),
    ".webp": Format("WEBP", True, 16383, {"quality": 95}),
    ".tif": Format("TIFF", True, 2**31 - 1, {"compression": "tiff_lzw"}),
    ".tiff": Format("TIFF", True, 2**31 - 1, {"compression": "tiff_lzw"}),
    ".bmp": Format("BMP", False, 2**31 - 1, {}),
}

# Files of a folder that are taken for pictures. A file that is named outright may have any extension.
READ_EXTENSIONS = FORMATS.keys() | {
    *(".apng", ".avif", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".mpo"),
    *(".pbm", ".pcx", ".pgm", ".pnm", ".ppm", ".qoi", ".sgi", ".tga"),
}


def list_pictures(folder: Path | str, *, recursive: bool = True) -> list[Path]:
    """The picture files of ``folder`` (and its sub-folders), known by their extension, sorted by path.

    Raises:
        UsageError: the folder does not exist, cannot be read or holds no picture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"there is no picture folder {folder}; give the folder that holds the pictures")
    try:
        names = sorted(folder.rglob("*") if recursive else folder.iterdir())
    except OSError as error:
        raise UsageError(f"cannot read the folder {folder}: {error.strerror}; choose another") from error
    found = [p for p in names if p.suffix.lower() in READ_EXTENSIONS and not p.name.startswith(".") and p.is_file()]
    if not found:
        raise UsageError(f"there is no picture in {folder}; expected files like name.png or name.jpg")
    return found


def output_format(path: Path | str, *, alpha: bool, width: int, height: int) -> Format:
    """The format that the extension of ``path`` names, if it can carry such a picture.

    Raises:
        UsageError: unknown extension, transparency in a format without it, or more pixels a side than it has room for.
    """
    path = Path(path)
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise UsageError(
            f"{path}: the extension '{path.suffix}' names no format for results; use one of {' '.join(FORMATS)}"
        )
    if alpha and not form.alpha:
        raise UsageError(f"{path}: {form.name} has no transparency, and the picture has; use .png, .webp or .tif")
    if max(width, height) > form.max_side:
        raise UsageError(
            f"{path}: {form.name} holds at most {form.max_side} pixels a side, the result has {width}x{height}; "
            "use .png"
        )
    return form
