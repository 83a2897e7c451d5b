"""Errors that a user can act on.

Every message says what happened, what was expected, what was found and what to do next. The command line prints the
message on one line and exits with ``exit_code``.
"""

from bitsr.common.installation import how_to_install


class BitsrError(Exception):
    """A failure with a message for the user."""

    exit_code = 1


class UsageError(BitsrError):
    """The request itself is wrong: an unknown name, a contradicting option, a missing file argument."""

    exit_code = 2


class MissingExtraError(BitsrError):
    """A package that is not installed: one of an extra, or (``extra=None``) one that bitsr always needs."""

    def __init__(self, package: str, *, extra: str | None, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed; install it with: {how_to_install(extra)}"
        )
        self.package = package
        self.extra = extra


class NoSpaceError(BitsrError):
    """The disk is full, so that no other file can be written either."""


class UnknownNameError(UsageError):
    """A name that is not in a list of known names; the nearest ones are suggested."""


class PictureError(BitsrError):
    """A picture that cannot be read."""


class RefusedPictureError(PictureError):
    """A file that is not damaged, but no picture that can be upscaled: an animation, an unsupported format."""


class WeightsError(BitsrError):
    """A weights file that is broken or belongs to another model or scale."""


class TrainingError(BitsrError):
    """A training that cannot start or go on."""


class ArtifactError(BitsrError):
    """An artifact or its sidecar that is missing, corrupt, newer than this bitsr, or not what it claims to be."""


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
