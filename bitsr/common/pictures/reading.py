"""Pictures from files: every Pillow format.

Orientation of the EXIF data is applied; other EXIF data is not carried over. Colour profiles are kept as they are,
because the network changes no colours; CMYK is converted to sRGB.

Pillow's limit of pixels is too low for panoramas. Here the free memory decides, and a file that claims more pixels than
its bytes can hold is refused as a decompression bomb.
"""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from bitsr.common.errors import BitsrError, PictureError, UsageError
from bitsr.common.memory import available_memory
from bitsr.common.pictures.picture import Picture

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
