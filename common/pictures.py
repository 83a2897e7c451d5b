"""Pictures from files and to files: every Pillow format in, the formats that carry the result out.

Orientation of the EXIF data is applied on reading; other EXIF data is not carried over. Colour profiles are kept as
they are, because the network changes no colours; CMYK is converted to sRGB on reading.
"""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from bitsr.common.errors import BitsrError, PictureError, UsageError
from bitsr.common.files import atomic_write

_PLAIN_MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr"}
_GREY_MODES = {"1", "L", "LA", "La"}
_SIXTEEN_BIT_MODES = {"I;16", "I;16B", "I;16L", "I;16N"}


@dataclass(frozen=True)
class Format:
    """A file format of results: its Pillow name, what it can carry, and how it is written."""

    name: str
    alpha: bool
    max_side: int
    options: dict[str, object]


FORMATS = {
    ".png": Format("PNG", True, 2**31 - 1, {}),
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
        PictureError: it is empty, broken, an animation, or holds values that 8-bit RGB cannot (32-bit, float, Lab).
    """
    path = Path(path)
    with warnings.catch_warnings(), _open(path) as image:
        warnings.simplefilter("ignore")  # remarks on EXIF data that is not used
        try:
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                raise PictureError(
                    f"{path} is an animation or a multi-page file with {image.n_frames} frames; "  # type: ignore[attr-defined]
                    "save the frame you want as a picture of its own"
                )
            image.load()
            return _to_picture(ImageOps.exif_transpose(image), path)
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
    profile = {} if icc_profile is None else {"icc_profile": icc_profile}
    with atomic_write(path) as temporary:
        try:
            image.save(temporary, format=form.name, **form.options, **profile)
        except OSError as error:
            raise BitsrError(f"cannot write {path}: {_reason(error)}") from error


def _open(path: Path) -> Image.Image:
    if path.is_dir():
        raise UsageError(f"{path} is a folder; expected a picture file")
    try:
        if path.stat().st_size == 0:
            raise PictureError(f"{path} is empty (0 bytes); expected a picture")
        with warnings.catch_warnings():
            # Pillow warns from half of the size that it refuses; between the two a picture is only big.
            warnings.simplefilter("ignore")
            return Image.open(path, formats=_readable_formats())
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {path}; name an existing picture") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"{path} is no picture that can be read, or its header is broken") from error
    except Image.DecompressionBombError as error:
        raise PictureError(
            f"{path} claims more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels, which is refused as a "
            "decompression bomb; cut it into smaller pictures"
        ) from error
    except BitsrError:
        raise
    except Exception as error:  # as in read_picture: headers are parsed by many decoders
        raise PictureError(f"{path} cannot be read: {_reason(error)}") from error


def _readable_formats() -> list[str]:
    Image.init()
    # Pillow hands EPS files to an external program, Ghostscript; pictures from anywhere shall not reach it.
    return [name for name in Image.ID if name != "EPS"]


def _to_picture(image: Image.Image, path: Path) -> Picture:
    profile = image.info.get("icc_profile")
    if image.mode == "CMYK":
        return Picture(np.asarray(_cmyk_to_srgb(image, profile)))
    if image.mode in _SIXTEEN_BIT_MODES:
        values = np.asarray(image).astype(np.uint32)
        grey = ((values * 255 + 32767) // 65535).astype(np.uint8)
        return Picture(np.repeat(grey[..., None], 3, axis=2), icc_profile=profile, grey=True)
    if image.mode not in _PLAIN_MODES:
        raise PictureError(
            f"{path} has pixels of mode {image.mode}; expected 8-bit RGB, grey, palette or CMYK, or 16-bit grey; "
            "convert it"
        )
    alpha = None
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        alpha = np.asarray(rgba.getchannel("A"))
        if alpha.min() == 255:
            alpha = None
        rgb = np.asarray(rgba)[..., :3]
    else:
        rgb = np.asarray(image.convert("RGB"))
    return Picture(np.ascontiguousarray(rgb), alpha, profile, grey=image.mode in _GREY_MODES)


def _cmyk_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile is None:
        return image.convert("RGB")
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None  # only the in-place form returns None
    return converted


def _reason(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
