"""Errors of the validation; the command line exits with their codes."""

from bitsr.common.errors import BitsrError


class EnvironmentMissingError(BitsrError):
    """A tool, library or device that a target needs is not here; the message has the command that brings it."""

    exit_code = 3


class TargetError(BitsrError):
    """A target that can not be reached, or a run on it that failed."""


class ResultsError(BitsrError):
    """A file of results that is broken or of another version."""
