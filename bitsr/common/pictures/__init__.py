"""Pictures from files and to files: every Pillow format in, the formats that carry the result out."""

from bitsr.common.pictures.formats import FORMATS, Format, check_extension, output_format
from bitsr.common.pictures.listing import EARLIER_RESULT, Listing, check_found, list_pictures, survey
from bitsr.common.pictures.picture import Metadata, Picture
from bitsr.common.pictures.reading import READ_BYTES, jpeg_quality, picture_from_image, picture_size, read_picture
from bitsr.common.pictures.writing import write_image, write_picture, write_rows

__all__ = [
    "EARLIER_RESULT",
    "FORMATS",
    "READ_BYTES",
    "Format",
    "Listing",
    "Metadata",
    "Picture",
    "check_extension",
    "check_found",
    "jpeg_quality",
    "list_pictures",
    "output_format",
    "picture_from_image",
    "picture_size",
    "read_picture",
    "survey",
    "write_image",
    "write_picture",
    "write_rows",
]
