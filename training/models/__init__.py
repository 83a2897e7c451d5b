"""Models by id; the id carries the scale (``ebsr_light_plus_x4``)."""

from bitsr.training.models import (  # noqa: F401 - importing a family registers its models
    attention,
    baselines,
    bbcu,
    bidiffsr,
    compact,
    e2fif,
    ebsr,
    edsr,
    float_light,
    frb,
    scales,
    sr3,
    swinir,
)
from bitsr.training.models.network import ModelInfo, SuperResolutionModel
from bitsr.training.models.registry import (
    configuration,
    configured_model,
    create_model,
    list_models,
    model_info,
    positive,
    register_model,
)

__all__ = [
    "ModelInfo",
    "SuperResolutionModel",
    "configuration",
    "configured_model",
    "create_model",
    "list_models",
    "model_info",
    "positive",
    "register_model",
]
