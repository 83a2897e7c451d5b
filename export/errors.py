"""Errors of the exporters."""

from bitsr.common.errors import BitsrError


class ExportError(BitsrError):
    """A model that can not be exported as it was asked for."""
