"""1-bit super-resolution: train in PyTorch, export, and run through bitwise kernels.

>>> import bitsr, numpy as np
>>> bitsr.upscale(np.zeros((6, 8, 3), np.uint8), scale=2).shape
(12, 16, 3)

Every name is imported when it is first used, so that ``import bitsr`` costs nothing: upscaling needs neither PyTorch
nor an exporter. What stands here is public; modules below may move.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitsr.artifact.artifact import Artifact
    from bitsr.common.errors import (
        ArtifactError,
        BitsrError,
        MissingExtraError,
        PictureError,
        TrainingError,
        UnknownNameError,
        UsageError,
        WeightsError,
    )
    from bitsr.export.export import export_model
    from bitsr.inference.load import load
    from bitsr.inference.session import Session
    from bitsr.inference.session_info import Sampling, SessionInfo
    from bitsr.inference.upscale_any import upscale
    from bitsr.training.models import create_model, list_models, register_model
    from bitsr.training.weights.importing import import_weights
    from bitsr.validation.validate import validate

    __version__: str

_ERRORS = "bitsr.common.errors"
_TRAINING = "bitsr.training.models"
_IMPORTING = "bitsr.training.weights.importing"
# Where each public name is defined.
_HOME = {
    "Artifact": "bitsr.artifact.artifact",
    "ArtifactError": _ERRORS,
    "BitsrError": _ERRORS,
    "MissingExtraError": _ERRORS,
    "PictureError": _ERRORS,
    "Sampling": "bitsr.inference.session_info",
    "Session": "bitsr.inference.session",
    "SessionInfo": "bitsr.inference.session_info",
    "TrainingError": _ERRORS,
    "UnknownNameError": _ERRORS,
    "UsageError": _ERRORS,
    "WeightsError": _ERRORS,
    "create_model": _TRAINING,
    "export_model": "bitsr.export.export",
    "import_weights": _IMPORTING,
    "list_models": _TRAINING,
    "load": "bitsr.inference.load",
    "register_model": _TRAINING,
    "upscale": "bitsr.inference.upscale_any",
    "validate": "bitsr.validation.validate",
}
# What needs more than the package itself, and the extra that brings it.
_EXTRAS = {
    _TRAINING: "train",
    _IMPORTING: "train",
    "bitsr.export.export": "export",
    "bitsr.validation.validate": "report",
}

__all__ = [
    "Artifact",
    "ArtifactError",
    "BitsrError",
    "MissingExtraError",
    "PictureError",
    "Sampling",
    "Session",
    "SessionInfo",
    "TrainingError",
    "UnknownNameError",
    "UsageError",
    "WeightsError",
    "__version__",
    "create_model",
    "export_model",
    "import_weights",
    "list_models",
    "load",
    "register_model",
    "upscale",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("bitsr")
    if name == "export":  # the sub-package, which can be called
        return import_module("bitsr.export")
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'bitsr' has no attribute '{name}'; it has {', '.join(__all__)}")
    if home in _EXTRAS:
        from bitsr.common.extras import needs

        with needs(_EXTRAS[home], purpose=f"bitsr.{name}"):
            return getattr(import_module(home), name)
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
