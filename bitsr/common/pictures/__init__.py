"""Pictures from files and to files: every Pillow format in, the formats that carry the result out."""

from bitsr.common.pictures.formats import FORMATS, Format, list_pictures, output_format
from bitsr.common.pictures.picture import Picture
from bitsr.common.pictures.reading import READ_BYTES, picture_size, read_picture
from bitsr.common.pictures.writing import write_image, write_picture, write_rows

__all__ = [
    "FORMATS",
    "READ_BYTES",
    "Format",
    "Picture",
    "list_pictures",
    "output_format",
    "picture_size",
    "read_picture",
    "write_image",
    "write_picture",
    "write_rows",
]
