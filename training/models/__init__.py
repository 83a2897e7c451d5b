"""Models by id; the id carries the scale (``ebsr_light_plus_x4``)."""

from bitsr.training.models import attention, baselines, bbcu, bidiffsr, e2fif, ebsr, edsr, frb, sr3, swinir
from bitsr.training.models.registry import (
    ModelInfo,
    SuperResolutionModel,
    create_model,
    list_models,
    model_info,
    register_model,
)

__all__ = [
    "ModelInfo",
    "SuperResolutionModel",
    "attention",
    "baselines",
    "bbcu",
    "bidiffsr",
    "create_model",
    "e2fif",
    "ebsr",
    "edsr",
    "frb",
    "list_models",
    "model_info",
    "register_model",
    "sr3",
    "swinir",
]
