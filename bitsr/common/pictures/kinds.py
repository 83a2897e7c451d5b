"""What a file is, by its ending or its first bytes: a picture that can be read, or which kind of file otherwise."""

from functools import cache
from pathlib import Path

from PIL import Image

# Pillow knows these, but they are no pictures, or need an external program. Pictures from anywhere shall not reach
# Ghostscript, which draws EPS.
_NO_PICTURES = {"EPS", "MPEG", "BUFR", "GRIB", "HDF5", "IPTC", "WMF", "XVTHUMB"}
_MORE_ENDINGS = {".mpo", ".jps"}  # JPEG files with more than one picture

HEIC = "HEIC"
CAMERA_RAW = "camera raw"
_UNSUPPORTED = {
    HEIC: ".heic .heics .heif .heifs .hif",
    "JPEG XL": ".jxl",
    CAMERA_RAW: ".3fr .arw .cr2 .cr3 .crw .dng .erf .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl"
    " .sr2 .srf .srw .x3f",
    "vector graphics": ".ai .emf .eps .pdf .ps .svg .svgz .wmf",
    "HDR": ".exr .hdr",
    "project": ".kra .psb .xcf",
    "video": ".3gp .avi .m4v .mkv .mov .mp4 .mpeg .mpg .webm",
}
_UNSUPPORTED_ENDINGS = {ending: kind for kind, endings in _UNSUPPORTED.items() for ending in endings.split()}
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_VIDEO_BRANDS = {b"isom", b"iso2", b"mp41", b"mp42", b"qt  ", b"M4V ", b"3gp4", b"3gp5"}
# First bytes of the usual formats, for pictures without a known ending.
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"qoif", b"DDS ", b"8BPS")
_HEAD = 32

_CONVERT = "convert to JPEG or PNG first"
ADVICE = {
    HEIC: f"{_CONVERT}, for example on the phone by sending or exporting it as JPEG",
    CAMERA_RAW: "develop to JPEG or PNG first",
}


def usual_formats() -> list[str]:
    """Pillow's names of the formats that nearly every picture has, JPEG and PNG among them.

    Their readers are there at once; those of all formats are some fifty modules more.
    """
    Image.preinit()
    return [name for name in Image.ID if name not in _NO_PICTURES]


def readable_formats() -> list[str]:
    """Pillow's names of the formats that are read."""
    Image.init()
    return [name for name in Image.ID if name not in _NO_PICTURES]


@cache
def readable_endings() -> frozenset[str]:
    """Endings of file names, with their dot, whose formats are read."""
    readable = set(readable_formats())
    known = {ending for ending, name in Image.registered_extensions().items() if name in readable}
    return frozenset(known | _MORE_ENDINGS)


def unsupported_kind(path: Path) -> str | None:
    """The kind of a file that no reader takes, such as "HEIC"; None where it may be a picture, or nothing is known."""
    head = _head(path)
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in _HEIC_BRANDS and b"avif" not in head:
            return HEIC
        if brand == b"crx ":
            return CAMERA_RAW
        if brand in _VIDEO_BRANDS:
            return "video"
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")):
        return "JPEG XL"
    if head.startswith((b"%!PS", b"%PDF", b"<svg")):
        return "vector graphics"
    return _UNSUPPORTED_ENDINGS.get(path.suffix.lower())


def is_picture(path: Path) -> bool:
    """Whether a file is taken for a picture: by its ending, or by its first bytes where the ending says nothing."""
    if unsupported_kind(path) is not None:
        return False
    if path.suffix.lower() in readable_endings():
        return True
    head = _head(path)
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or head[4:12] == b"ftypavif"


def advice(kind: str) -> str:
    """What to do with a file of an unsupported kind."""
    return ADVICE.get(kind, _CONVERT)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:  # The reader says why, if the file is read at all.
        return b""
