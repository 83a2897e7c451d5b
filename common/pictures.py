"""Pictures from files and to files: every Pillow format in, the formats that carry the result out.

Orientation of the EXIF data is applied on reading; other EXIF data is not carried over. Colour profiles are kept as
they are, because the network changes no colours; CMYK is converted to sRGB on reading.

Pillow's limit of pixels is too low for panoramas. Here the free memory decides, and a file that claims more pixels than
its bytes can hold is refused as a decompression bomb.
"""

import io
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from bitsr.common.errors import BitsrError, PictureError, UsageError
from bitsr.common.files import atomic_write
from bitsr.common.memory import available_memory
from bitsr.common.png import PngWriter

_PLAIN_MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr"}
_GREY_MODES = {"1", "L", "LA", "La"}
_SIXTEEN_BIT_MODES = {"I;16", "I;16B", "I;16L", "I;16N"}


# Bytes for each pixel while a picture is read: Pillow's 4, ours (RGB, alpha) and the decoder's, measured; WebP decodes
# into buffers of its own.
READ_BYTES = 10
_WEBP_READ_BYTES = 17
# Smaller pictures than this need no look at their file's size; it is Pillow's own limit.
_HARMLESS_PIXELS = 2 * 89_478_485
# Deflate, the densest coding of the usual formats, packs at most 1032 bytes into one, and a byte holds up to 8 pixels.
_PIXELS_PER_BYTE = 8 * 1032
# Pixels are converted in parts of about this many, so that no second copy of a picture is needed.
_PART_PIXELS = 1 << 20
_PILLOW_LIMIT = threading.Lock()


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


@dataclass(frozen=True)
class Picture:
    """A picture in memory.

    Attributes:
        rgb: (H, W, 3), uint8, 0 to 255. A grey picture has three equal channels.
        alpha: (H, W), uint8, 255 is opaque; None when the file has no transparency.
        icc_profile: the embedded colour profile, for RGB or, where ``grey`` is set, for grey values.
        grey: the file holds grey values; the result is written in grey too.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    icc_profile: bytes | None = None
    grey: bool = False

    @property
    def height(self) -> int:
        return int(self.rgb.shape[0])

    @property
    def width(self) -> int:
        return int(self.rgb.shape[1])


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


def picture_size(path: Path | str) -> tuple[int, int]:
    """(width, height) as stored, from the header alone.

    Raises:
        UsageError: there is no such file.
        PictureError: it is no picture.
    """
    with _open(Path(path)) as image:
        return image.size


def read_picture(path: Path | str) -> Picture:
    """Read a picture of any format, mode and orientation.

    Raises:
        UsageError: there is no such file.
        PictureError: it is empty, broken, an animation, larger than the free memory, or holds values that 8-bit RGB
            cannot (32-bit, float, Lab).
    """
    path = Path(path)
    with _open(path) as image, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on EXIF data that is not used
        try:
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                raise PictureError(
                    f"{path} is an animation or a multi-page file with {image.n_frames} frames; "  # type: ignore[attr-defined]
                    "save the frame you want as a picture of its own"
                )
            _check_memory(path, image)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _to_picture(image, path)
        except (BitsrError, MemoryError):
            raise
        except Exception as error:  # Pillow's decoders raise whatever their format's parser raises.
            raise PictureError(f"{path} is broken: {_reason(error)}; expected a complete picture") from error


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


def write_picture(path: Path | str, picture: Picture) -> None:
    """Write ``picture`` in the format of the extension, completely or not at all."""
    image = Image.fromarray(picture.rgb)
    if picture.grey:
        image = image.convert("L")
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    write_image(path, image, icc_profile=picture.icc_profile)


def write_image(path: Path | str, image: Image.Image, *, icc_profile: bytes | None = None) -> None:
    """Write a Pillow image of mode L, LA, RGB or RGBA in the format of the extension, completely or not at all."""
    path = Path(path)
    form = output_format(path, alpha="A" in image.getbands(), width=image.width, height=image.height)
    with atomic_write(path) as temporary:
        _save(image, temporary, form, icc_profile)


def write_rows(
    path: Path | str,
    rows: Iterable[NDArray[np.uint8]],
    *,
    width: int,
    height: int,
    channels: int,
    icc_profile: bytes | None = None,
) -> None:
    """Write parts (h, width, C) uint8 from top to bottom in the format of the extension, completely or not at all.

    ``channels`` C is 1 (grey), 2 (with alpha), 3 (RGB) or 4 (RGBA). The output is opened before the first part is asked
    for. PNG is written part by part; the encoders of the other formats need the whole picture in memory.
    """
    path = Path(path)
    form = output_format(path, alpha=channels in (2, 4), width=width, height=height)
    with atomic_write(path) as temporary:
        if form.streamed:
            with temporary.open("wb") as file:
                writer = PngWriter(file, width=width, height=height, channels=channels, icc_profile=icc_profile)
                for part in rows:
                    writer.write(part)
                writer.close()
        else:
            image = Image.new(("L", "LA", "RGB", "RGBA")[channels - 1], (width, height))
            top = 0
            for part in rows:
                image.paste(Image.fromarray(part[..., 0] if channels == 1 else part), (0, top))
                top += len(part)
            _save(image, temporary, form, icc_profile)


def _save(image: Image.Image, path: Path, form: Format, icc_profile: bytes | None) -> None:
    profile = {} if icc_profile is None else {"icc_profile": icc_profile}
    image.save(path, format=form.name, **form.options, **profile)


def _open(path: Path) -> Image.Image:
    if path.is_dir():
        raise UsageError(f"{path} is a folder; expected a picture file")
    try:
        if path.stat().st_size == 0:
            raise PictureError(f"{path} is empty (0 bytes); expected a picture")
        with _without_pillows_limit(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as in read_picture
            image = Image.open(path, formats=_readable_formats())
        _check_bomb(path, image)
        return image
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {path}; name an existing picture") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"{path} is no picture that can be read, or its header is broken") from error
    except BitsrError:
        raise
    except Exception as error:  # as in read_picture: headers are parsed by many decoders
        raise PictureError(f"{path} cannot be read: {_reason(error)}") from error


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Turn Pillow's limit, which is global, off for the opening of one file; opening reads only the header."""
    with _PILLOW_LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check_bomb(path: Path, image: Image.Image) -> None:
    pixels = image.width * image.height
    if pixels > _HARMLESS_PIXELS and pixels > path.stat().st_size * _PIXELS_PER_BYTE:
        image.close()
        raise PictureError(
            f"{path} claims {image.width}x{image.height} pixels in {path.stat().st_size} bytes, which is refused as a "
            "decompression bomb; expected a picture whose size its file can hold"
        )


def _check_memory(path: Path, image: Image.Image) -> None:
    needed = image.width * image.height * (_WEBP_READ_BYTES if image.format == "WEBP" else READ_BYTES)
    available = available_memory()
    if needed > available:
        raise PictureError(
            f"{path} ({image.width}x{image.height}) needs about {needed / 2**30:.1f} GiB to be read, and "
            f"{available / 2**30:.1f} GiB are free; cut it into parts or use a machine with more memory"
        )


def _readable_formats() -> list[str]:
    Image.init()
    # Pillow hands EPS files to an external program, Ghostscript; pictures from anywhere shall not reach it.
    return [name for name in Image.ID if name != "EPS"]


def _to_picture(image: Image.Image, path: Path) -> Picture:
    profile = image.info.get("icc_profile")
    if image.mode == "CMYK":
        return Picture(_rgb(_cmyk_to_srgb(image, profile)))
    if image.mode in _SIXTEEN_BIT_MODES:
        return Picture(_sixteen_bit(image), icc_profile=profile, grey=True)
    if image.mode not in _PLAIN_MODES:
        raise PictureError(
            f"{path} has pixels of mode {image.mode}; expected 8-bit RGB, grey, palette or CMYK, or 16-bit grey; "
            "convert it"
        )
    grey = image.mode in _GREY_MODES
    if not image.has_transparency_data:
        return Picture(_rgb(image), None, profile, grey)
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    alpha = np.empty((image.height, image.width), np.uint8)
    for top, part in _parts(image):
        values = np.asarray(part.convert("RGBA"))
        rgb[top : top + len(values)], alpha[top : top + len(values)] = values[..., :3], values[..., 3]
    return Picture(rgb, None if alpha.min() == 255 else alpha, profile, grey)


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


def _sixteen_bit(image: Image.Image) -> NDArray[np.uint8]:
    result = np.empty((image.height, image.width, 3), np.uint8)
    for top, part in _parts(image):
        values = np.asarray(part).astype(np.uint32)
        result[top : top + part.height] = ((values * 255 + 32767) // 65535).astype(np.uint8)[..., None]
    return result


def _cmyk_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile is None:
        return image.convert("RGB")
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None  # only the in-place form returns None
    return converted


def _reason(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
