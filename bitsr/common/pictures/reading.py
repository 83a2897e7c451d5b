"""Pictures from files: every Pillow format.

The pixels are turned as the EXIF data says; docs/pictures.md says what is kept of a file beside its pixels. Damaged
metadata never loses a picture: it is left out, with a remark in the log.

Pillow's limit of pixels is too low for panoramas. Here the free memory decides, and a file that claims more pixels than
its bytes can hold is refused as a decompression bomb.
"""

import io
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from bitsr.common.errors import BitsrError, PictureError, RefusedPictureError, UsageError
from bitsr.common.memory import available_memory
from bitsr.common.pictures import colour
from bitsr.common.pictures.exif import kept_exif, orientation, parse_exif, resolution
from bitsr.common.pictures.incomplete import IncompleteError, check_missing, complete
from bitsr.common.pictures.kinds import CAMERA_RAW, advice, readable_formats, unsupported_kind, usual_formats
from bitsr.common.pictures.picture import Metadata, Picture
from bitsr.common.pictures.png_file import PngFile, complete_png, is_png, scan_png
from bitsr.common.pictures.transparency import fill_hidden
from bitsr.common.quiet import silent_stderr

log = logging.getLogger(__name__)

# How far red, green and blue of a grey pixel differ where the coding turns grey into brightness and colour.
_GREY_TOLERANCE = {"WEBP": 1}
_PLAIN_MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr"}
_GREY_MODES = {"1", "L", "LA", "La"}
_SIXTEEN_BIT_MODES = {"I;16", "I;16B", "I;16L", "I;16N"}
_ANIMATED_FORMATS = {"GIF", "PNG", "WEBP", "AVIF", "FLI"}
# The frames of these are views of one photo, or layers beside their composite, which is the first.
_ONE_PICTURE_FORMATS = {"MPO", "PSD"}
# How stored pixels are turned, by EXIF's orientation.
_TURNS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}
_SIDES_SWAPPED = {5, 6, 7, 8}
# Tags of TIFF: what a page is, the depth of its values, the version of a camera's raw file.
_SUBFILE_TYPE, _BITS_PER_SAMPLE, _DNG_VERSION = 254, 258, 50706
_NO_PAGE = 0b101  # a reduced copy of another page, or the mask of one

# Bytes for each pixel while a picture is read: Pillow's 4, ours (RGB, alpha) and the decoder's, measured; WebP decodes
# into buffers of its own.
READ_BYTES = 10
_WEBP_READ_BYTES = 17
_JPEG_FORMATS = {"JPEG", "MPO"}
# The sum of the standard's table for luminance (ITU-T T.81, table K.1).
_STANDARD_LUMINANCE = 3688
# Smaller pictures than this need no look at their file's size; it is Pillow's own limit.
_HARMLESS_PIXELS = 2 * 89_478_485
# Deflate, the densest coding of the usual formats, packs at most 1032 bytes into one, and a byte holds up to 8 pixels.
_PIXELS_PER_BYTE = 8 * 1032
# Pixels are converted in parts of about this many, so that no second copy of a picture is needed.
_PART_PIXELS = 1 << 20
_PILLOW_LIMIT = threading.Lock()


@dataclass(frozen=True)
class _Opened:
    """A file whose header is read: Pillow's picture, and what our own reader of PNG found."""

    image: Image.Image
    png: PngFile | None = None


def picture_size(path: Path | str) -> tuple[int, int]:
    """(width, height) as stored, from the header alone.

    Raises:
        UsageError: there is no such file.
        PictureError: it is no picture.
    """
    with _open(Path(path)).image as image:
        return image.size


def jpeg_quality(path: Path | str) -> int | None:
    """The quality that a JPEG was saved with, 1 to 100, from its table for luminance; None for what is no JPEG.

    That of libjpeg whose table has the same mean, which is near what other programs mean by their numbers. A file that
    can not be read has none; what is wrong with it :func:`read_picture` says.
    """
    try:
        with _open(Path(path)).image as image:
            tables = getattr(image, "quantization", None) if image.format in _JPEG_FORMATS else None
    except BitsrError:
        return None
    if not tables or 0 not in tables:
        return None
    # libjpeg: a table is the standard's times (200 - 2 quality) %, or (5000 / quality) % for qualities below 50.
    percent = 100 * sum(tables[0]) / _STANDARD_LUMINANCE
    quality = (200 - percent) / 2 if percent <= 100 else 5000 / percent
    return min(max(round(quality), 1), 100)


def read_picture(path: Path | str, *, keep_gps: bool = False) -> Picture:
    """Read a picture of any format, mode and orientation; ``keep_gps`` keeps the place in its EXIF data.

    What is left out or made up for (damaged metadata, the end of a file that is missing) is logged as a warning.

    Raises:
        UsageError: there is no such file.
        PictureError: it is empty, broken, an animation, of several pages, larger than the free memory, or holds values
            that 8-bit RGB cannot (32-bit, float, Lab).
    """
    path = Path(path)
    try:
        with _loaded(path) as opened:
            return _to_picture(opened, path, keep_gps=keep_gps)
    except (BitsrError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise whatever their format's parser raises.
        raise PictureError(f"{path} is broken: {_reason(error)}; expected a complete picture") from error


@contextmanager
def _loaded(path: Path) -> Iterator[_Opened]:
    """The file with its pixels, made up for where its end is missing."""
    opened = None
    try:
        opened = _open(path)
        with _quiet_decoder(opened.image):
            _choose_page(path, opened)
            _check_memory(path, opened.image)
            opened.image.load()
    except (UsageError, MemoryError, RefusedPictureError):
        raise
    except Exception:  # as in read_picture
        completed = _completed(path, None if opened is None else opened.png)
        if completed is None:
            raise
        opened = completed
    with opened.image:
        yield opened


def picture_from_image(image: Image.Image, *, name: str = "the picture", keep_gps: bool = False) -> Picture:
    """A picture of Pillow as ours, like :func:`read_picture`; ``name`` stands in messages.

    Raises:
        PictureError: it holds values that 8-bit RGB cannot.
    """
    return _to_picture(_Opened(image), Path(name), keep_gps=keep_gps)


def _open(path: Path) -> _Opened:
    if path.is_dir():
        raise UsageError(f"{path} is a folder; expected a picture file")
    try:
        if path.stat().st_size == 0:
            raise RefusedPictureError(f"{path} is empty (0 bytes); expected a picture")
        _check_kind(path)
        png = scan_png(path) if is_png(path) else None
        image = _open_image(path if png is None else png.open())
        _check_bomb(path, image)
        if image.format == "TIFF" and _tiff_tag(image, _DNG_VERSION) is not None:
            _refuse_kind(path, CAMERA_RAW)
        return _Opened(image, png)
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {path}; name an existing picture") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"{path} is no picture that can be read, or its header is broken") from error
    except BitsrError:
        raise
    except Exception as error:  # as in read_picture: headers are parsed by many decoders
        raise PictureError(f"{path} cannot be read: {_reason(error)}") from error


def _check_kind(path: Path) -> None:
    kind = unsupported_kind(path)
    if kind is not None:
        _refuse_kind(path, kind)


def _refuse_kind(path: Path, kind: str) -> None:
    raise RefusedPictureError(f"{path} is a {kind} file, which is not supported; {advice(kind)}")


def _open_image(file: object) -> Image.Image:
    with _without_pillows_limit(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on metadata that is not used
        try:
            return Image.open(file, formats=usual_formats())  # type: ignore[arg-type]
        except UnidentifiedImageError:
            return Image.open(file, formats=readable_formats())  # type: ignore[arg-type]


def _completed(path: Path, png: PngFile | None) -> _Opened | None:
    """The picture of a file that lacks a small part at its end; None where it is damaged in another way."""

    def decode(file: io.BytesIO) -> Image.Image:
        image = _open_image(file)
        _check_bomb(path, image)
        _check_memory(path, image)
        with _quiet_decoder(image):
            image.load()
        return image

    try:
        if png is not None:
            content, missing = complete_png(png)
            check_missing(missing, pixels=png.width * png.height)
            image = decode(io.BytesIO(content))
        else:
            image, missing = complete(path, decode)
    except IncompleteError as error:
        raise PictureError(f"{path} is broken: {error}; expected a complete picture") from error
    except (BitsrError, MemoryError):
        raise
    except Exception:  # as in read_picture; the error of the file as it is says more
        return None
    lost = f"{100 * missing:.2g} % of it are made up" if missing else "all its pixels are there"
    log.warning("%s ends too early; %s", path, lost)
    return _Opened(image, png)


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Turn Pillow's limit, which is global, off for the opening of one file; opening reads only the header."""
    with _PILLOW_LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@contextmanager
def _quiet_decoder(image: Image.Image) -> Iterator[None]:
    """Keep the remarks of decoders off the console; libtiff writes its own to the standard error."""
    with warnings.catch_warnings(), silent_stderr() if image.format == "TIFF" else nullcontext():
        warnings.simplefilter("ignore")
        yield


def _check_bomb(path: Path, image: Image.Image) -> None:
    pixels = image.width * image.height
    if pixels > _HARMLESS_PIXELS and pixels > path.stat().st_size * _PIXELS_PER_BYTE:
        image.close()
        raise RefusedPictureError(
            f"{path} claims {image.width}x{image.height} pixels in {path.stat().st_size} bytes, which is refused as a "
            "decompression bomb; expected a picture whose size its file can hold"
        )


def _check_memory(path: Path, image: Image.Image) -> None:
    needed = image.width * image.height * (_WEBP_READ_BYTES if image.format == "WEBP" else READ_BYTES)
    available = available_memory()
    if needed > available:
        raise RefusedPictureError(
            f"{path} ({image.width}x{image.height}) needs about {needed / 2**30:.1f} GiB to be read, and "
            f"{available / 2**30:.1f} GiB are free; cut it into parts or use a machine with more memory"
        )


def _choose_page(path: Path, opened: _Opened) -> None:
    """Make the one picture of a file the current frame, or refuse a file of several."""
    image = opened.image
    frames = int(getattr(image, "n_frames", 1)) if opened.png is None else opened.png.frames
    if frames == 1 or image.format in _ONE_PICTURE_FORMATS:
        return
    if image.format in _ANIMATED_FORMATS:
        raise RefusedPictureError(
            f"{path} is an animation with {frames} frames; save the frame you want as a picture of its own"
        )
    pages = []
    for frame in range(frames):
        image.seek(frame)
        kind = _tiff_tag(image, _SUBFILE_TYPE)
        if not (isinstance(kind, int) and kind & _NO_PAGE):
            pages.append(frame)
    if len(pages) > 1:
        raise RefusedPictureError(f"{path} has {len(pages)} pages; save the page you want as a picture of its own")
    image.seek(pages[0] if pages else 0)


def _tiff_tag(image: Image.Image, number: int) -> object:
    tags = getattr(image, "tag_v2", {})
    value: object = tags.get(number)
    return value[0] if isinstance(value, tuple) and value else value


def _to_picture(opened: _Opened, path: Path, *, keep_gps: bool) -> Picture:
    """The pixels of a loaded picture, turned, and its metadata."""
    image = opened.image
    metadata, turn = _metadata(opened, path, keep_gps=keep_gps)
    if image.mode == "CMYK":
        space = None if metadata.icc_profile is None else colour.profile_space(metadata.icc_profile)
        profile = metadata.icc_profile if space == colour.CMYK else None
        image, metadata = _cmyk(image, profile, path), replace(metadata, icc_profile=None)
    key = None if opened.png is None else opened.png.key
    rgb, alpha = _pixels(image, path, opened.png)
    if key is not None and opened.png is not None:
        alpha = _keyed_alpha(image, rgb, opened.png, key)
    if alpha is not None and alpha.min() == 255:
        alpha = None
    if turn in _TURNS:
        rgb = np.ascontiguousarray(_TURNS[turn](rgb))
        alpha = None if alpha is None else np.ascontiguousarray(_TURNS[turn](alpha))
    if alpha is not None:
        fill_hidden(rgb, alpha)
    stored_grey = image.mode in _GREY_MODES or image.mode in (*_SIXTEEN_BIT_MODES, "I") or _grey_png(opened.png)
    grey = stored_grey or _is_grey(rgb, tolerance=_GREY_TOLERANCE.get(image.format or "", 0))
    if grey:
        rgb[..., 0] = rgb[..., 2] = rgb[..., 1]
    return Picture(rgb, alpha, grey, _fitting(metadata, path, grey=stored_grey))


def _metadata(opened: _Opened, path: Path, *, keep_gps: bool) -> tuple[Metadata, int]:
    """What is kept of the file beside its pixels, and how the pixels are to be turned."""
    image, png = opened.image, opened.png
    damaged = [] if png is None else [f"{name} chunk" for name in png.damaged]
    if png is not None:
        image.info.update({name: value for name, value in (("exif", png.exif), ("xmp", png.xmp)) if value is not None})
    dpi = _stated_dpi(image) if png is None else png.dpi
    turn, exif = 1, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in _open_image
        try:
            parsed = parse_exif(image)
            turn = orientation(parsed)
            dpi = _sound_dpi(dpi) or _sound_dpi(resolution(parsed))
            if dpi is not None and turn in _SIDES_SWAPPED:
                dpi = dpi[::-1]
            exif, partly = kept_exif(parsed, keep_gps=keep_gps, dpi=dpi)
            damaged += ["EXIF data (in part)"] if partly else []
        except Exception:  # as in parse_exif
            damaged.append("EXIF data")
            dpi = _sound_dpi(dpi)
    if damaged:
        log.warning("%s: damaged metadata is left out: %s", path, ", ".join(dict.fromkeys(damaged)))
    profile = image.info.get("icc_profile") if png is None else png.icc_profile
    chunks = () if png is None else tuple(png.colour_chunks)
    return Metadata(icc_profile=profile or None, colour_chunks=chunks, dpi=dpi, exif=exif), turn


def _stated_dpi(image: Image.Image) -> tuple[float, float] | None:
    if image.format in ("JPEG", "MPO") and image.info.get("jfif_unit", 0) not in (1, 2):
        return None  # Pillow says 72 where the file says nothing
    dpi = image.info.get("dpi")
    return dpi if isinstance(dpi, tuple) and len(dpi) == 2 else None


def _sound_dpi(dpi: tuple[float, float] | None) -> tuple[float, float] | None:
    """Values that a resolution can have; 299.9994, which comes from pixels per metre, is 300."""
    if dpi is None:
        return None
    across, down = (float(value) for value in dpi)
    if not (1 < across < 1e6 and 1 < down < 1e6):  # 1 is what writers put down for unknown; not a number, too
        return None
    rounded = round(across), round(down)
    near = abs(across - rounded[0]) < 0.02 and abs(down - rounded[1]) < 0.02
    return (float(rounded[0]), float(rounded[1])) if near else (across, down)


def _fitting(metadata: Metadata, path: Path, *, grey: bool) -> Metadata:
    """Leave out a profile that is not for such pixels; a grey file with a profile for RGB becomes one of RGB."""
    if metadata.icc_profile is None:
        return replace(metadata, rgb=not grey)
    space = colour.profile_space(metadata.icc_profile)
    if space == colour.RGB or (grey and space == colour.GREY):
        return replace(metadata, rgb=space == colour.RGB)
    found = "damaged" if space is None else f"for {space}"
    log.warning(
        "%s: its colour profile is left out: it is %s, the pixels are %s", path, found, "grey" if grey else "RGB"
    )
    return replace(metadata, icc_profile=None, rgb=not grey)


def _grey_png(png: PngFile | None) -> bool:
    return png is not None and png.colour_type in (0, 4)


def _is_grey(rgb: NDArray[np.uint8], *, tolerance: int) -> bool:
    step = max(1, _PART_PIXELS // rgb.shape[1])
    parts = (rgb[top : top + step] for top in range(0, len(rgb), step))
    return all(int((part.max(axis=-1) - part.min(axis=-1)).max()) <= tolerance for part in parts)


def _pixels(image: Image.Image, path: Path, png: PngFile | None) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """RGB (H, W, 3) and, where there is one, alpha (H, W)."""
    if image.mode in _SIXTEEN_BIT_MODES or (image.mode == "I" and image.format == "PPM"):
        return _deep_grey(image), None
    if image.mode not in _PLAIN_MODES:
        raise RefusedPictureError(
            f"{path} has pixels of mode {image.mode}; expected 8-bit RGB, grey, palette or CMYK, or 16-bit grey; "
            "convert it"
        )
    if not image.has_transparency_data:
        return _rgb(image), None
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    alpha = np.empty((image.height, image.width), np.uint8)
    for top, part in _parts(image):
        values = np.asarray(part.convert("RGBA"))
        rgb[top : top + len(values)], alpha[top : top + len(values)] = values[..., :3], values[..., 3]
    return rgb, alpha


def _keyed_alpha(image: Image.Image, rgb: NDArray[np.uint8], png: PngFile, key: tuple[int, ...]) -> NDArray[np.uint8]:
    """Alpha of a PNG that names one value as transparent: 0 there, 255 elsewhere. The key has the file's depth."""
    hidden = np.empty(rgb.shape[:2], np.bool_)
    for top, part in _parts(image):
        rows = slice(top, top + part.height)
        if png.bits == 16 and len(key) == 1:
            hidden[rows] = np.asarray(part) == key[0]
        else:
            shown = [value >> 8 if png.bits == 16 else value * 255 // ((1 << png.bits) - 1) for value in key]
            hidden[rows] = (rgb[rows] == np.array(shown)).all(axis=-1)
    if png.bits == 16 and len(key) == 3 and hidden.any():
        low = _low_bytes(png)
        hidden &= (low == np.array([value & 255 for value in key])).all(axis=-1)
    return np.where(hidden, 0, 255).astype(np.uint8)


def _low_bytes(png: PngFile) -> NDArray[np.uint8]:
    """The lower bytes of 16-bit RGB: Pillow keeps the first byte of each value, or the second where told so."""
    image = _open_image(png.open())
    assert isinstance(image, ImageFile.ImageFile)  # opened, not created
    image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
    return np.asarray(image.convert("RGB"))


def _parts(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Rows of the image from top to bottom, each part with the number of its first row."""
    step = max(1, _PART_PIXELS // image.width)
    for top in range(0, image.height, step):
        yield top, image.crop((0, top, image.width, min(top + step, image.height)))


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    result = np.empty((image.height, image.width, 3), np.uint8)
    for top, part in _parts(image):
        result[top : top + part.height] = np.asarray(part.convert("RGB"))
    return result


def _deep_grey(image: Image.Image) -> NDArray[np.uint8]:
    """Grey values of more than 8 bits, scaled to 8. Those of a TIFF may have fewer than 16 bits."""
    bits = _tiff_tag(image, _BITS_PER_SAMPLE) if image.format == "TIFF" else None
    largest = (1 << bits) - 1 if isinstance(bits, int) and 8 < bits < 16 else 65535
    result = np.empty((image.height, image.width, 3), np.uint8)
    for top, part in _parts(image):
        values = np.asarray(part).astype(np.uint32).clip(max=largest)
        result[top : top + part.height] = ((values * 255 + largest // 2) // largest).astype(np.uint8)[..., None]
    return result


def _cmyk(image: Image.Image, profile: bytes | None, path: Path) -> Image.Image:
    stated = image.info.get("icc_profile")
    try:
        if stated and profile is None:
            raise ValueError("it is not for CMYK")
        return colour.cmyk_to_srgb(image, profile)
    except (OSError, ValueError, ImageCms.PyCMSError) as error:
        log.warning("%s: its colour profile is left out: %s", path, _reason(error))
        return colour.cmyk_to_srgb(image, None)


def _reason(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
