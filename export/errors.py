"""Errors of the exporters."""

from bitsr.common.errors import BitsrError


class ExportError(BitsrError):
    """A model that can not be exported as it was asked for."""


class ArtifactError(BitsrError):
    """An artefact or its sidecar that is missing, corrupt, newer than this bitsr, or not what it claims to be."""
