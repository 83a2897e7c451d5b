"""Model ids: which network an id builds, from which paper and with which configuration.

A network knows nothing of its registration; :func:`create_model` adds ``info`` to it after the call.
"""

import dataclasses
import difflib
import fnmatch
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import torch

from bitsr.common.errors import BitsrError, UnknownNameError, UsageError, first_line
from bitsr.training.models.network import ModelInfo, SuperResolutionModel

# Networks of one evaluation, and those that sample a picture in many (``training.models.diffusion``).
Kind = Literal["direct", "diffusion"]
# ``builder(scale)``, or ``builder(scale, config)`` where the registration has a configuration.
Builder = TypeVar("Builder", bound=Callable[..., SuperResolutionModel])


@dataclass(frozen=True)
class _Registration:
    builder: Callable[..., SuperResolutionModel]
    scale: int
    paper: str
    config: Any
    kind: Kind


_REGISTRY: dict[str, _Registration] = {}
_POSITIVE = "positive"
# What a network says of itself.
_FACTS = ("scale", "channels", "receptive_field_radius", "global_pooling", "fixed_size")


def register_model(
    pattern: str, *, paper: str = "", config: Any = None, scales: tuple[int, ...] = (2, 3, 4), kind: Kind = "direct"
) -> Callable[[Builder], Builder]:
    """Register the decorated builder under ``pattern`` with ``{scale}`` filled in, for every scale.

    The builder is called as ``builder(scale)``, or with a ``config``, any dataclass, as ``builder(scale, config)``. One
    builder may have several decorators: several ids that differ in their configuration.

    Args:
        pattern: such as ``"ebsr_light_x{scale}"``.
        paper: the source, as ``bitsr models`` shows it.
        config: the configuration of these ids; :func:`create_model` can override its fields.

    Raises:
        ValueError: an id is registered already.
    """

    def decorate(builder: Builder) -> Builder:
        for scale in scales:
            model_id = pattern.format(scale=scale)
            if model_id in _REGISTRY:
                raise ValueError(f"the model id '{model_id}' is registered twice")
            _REGISTRY[model_id] = _Registration(builder, scale, paper, config, kind)
        return builder

    return decorate


def positive(default: Any) -> Any:
    """A field of a configuration that takes no 0, such as ``window: int = positive(8)``, or a row of such numbers."""
    return dataclasses.field(default=default, metadata={_POSITIVE: True})


def list_models(glob: str = "*", *, kind: Kind | None = None) -> list[str]:
    """Ids that match a shell pattern, sorted; of one kind, or of all."""
    return sorted(name for name in fnmatch.filter(_REGISTRY, glob) if kind in (None, _REGISTRY[name].kind))


def create_model(model_id: str, *, pretrained: bool = False, **settings: Any) -> SuperResolutionModel:
    """Build a registered model, with fresh weights or, ``pretrained``, with those that come with bitsr.

    Args:
        model_id: such as ``"ebsr_light_plus_x4"``.
        settings: fields of the model's configuration that are to differ, such as ``blocks=4``.

    Raises:
        UnknownNameError: no such id, or no such field of its configuration; the nearest one is named.
        UsageError: a setting of another type than its field; the builder of the id fails, or gives no network.
        WeightsError: ``pretrained``, and no weights of this model come with bitsr, or they do not fit the settings.
    """
    model = configured_model(model_id, settings)
    if pretrained:
        # Weights are above models: they are read into one.
        from bitsr.artifact.weights import embedded_weights
        from bitsr.training.weights import load_weights

        load_weights(model, embedded_weights(model_id))
    return model


def configured_model(model_id: str, settings: Mapping[str, Any]) -> SuperResolutionModel:
    """A registered model with fresh weights, its configuration changed by ``settings``; errors as :func:`create_model`.

    For settings that come from a file: whatever their names, they are fields of the configuration and nothing else.
    """
    registration = _lookup(model_id)
    config = _configured(model_id, registration.config, settings)
    model = _built(model_id, registration, config)
    model.info = ModelInfo(
        id=model_id,
        paper=registration.paper,
        scale=model.scale,
        channels=model.channels,
        receptive_field_radius=model.receptive_field_radius,
        global_pooling=model.global_pooling,
        fixed_size=model.fixed_size,
        config={} if config is None else dataclasses.asdict(config),
    )
    return model


def configuration(model_id: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Every field of a model's configuration, changed by ``settings``; errors as :func:`create_model`."""
    config = _configured(model_id, _lookup(model_id).config, settings)
    return {} if config is None else dataclasses.asdict(config)


def model_info(model_id: str, settings: Mapping[str, Any] | None = None) -> ModelInfo:
    """Facts of a model, without allocating its weights. Errors as :func:`create_model`."""
    with torch.device("meta"):
        return configured_model(model_id, settings or {}).info


def _built(model_id: str, registration: _Registration, config: Any) -> SuperResolutionModel:
    """What the builder gives; a builder that fails is a mistake of its file's author, or of the settings."""
    builder = registration.builder
    code = getattr(builder, "__code__", None)
    where = f"the builder '{getattr(builder, '__name__', builder)}' of '{model_id}'" + (
        f" ({code.co_filename}, line {code.co_firstlineno})" if code is not None else ""
    )
    try:
        model = builder(registration.scale, *(() if config is None else (config,)))
    except BitsrError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise UsageError(f"{where} fails ({reason}); correct it, or the settings that it was given") from error
    if not isinstance(model, SuperResolutionModel):
        raise UsageError(
            f"{where} gives a {type(model).__name__}, expected a SuperResolutionModel, such as a LightBackbone around "
            "a body; correct it"
        )
    missing = [name for name in _FACTS if not hasattr(model, name)]
    if missing:
        raise UsageError(
            f"{where} gives a network without {', '.join(missing)}; call super().__init__(scale=..., channels=..., "
            "receptive_field_radius=...) in it"
        )
    return model


def _lookup(model_id: str) -> _Registration:
    try:
        return _REGISTRY[model_id]
    except KeyError:
        hint = _nearest(model_id, _REGISTRY) or "`bitsr models` lists them."
        raise UnknownNameError(f"there is no model '{model_id}'; {hint}") from None


def _configured(model_id: str, config: Any, settings: Mapping[str, Any]) -> Any:
    names = [] if config is None else [field.name for field in dataclasses.fields(config)]
    for name in settings:
        if name not in names:
            expected = f"it has: {', '.join(names)}" if names else "it has no configuration"
            raise UnknownNameError(f"'{model_id}' has no setting '{name}'; {_nearest(name, names) or expected}")
    if not settings:
        return config
    types = get_type_hints(type(config))
    positives = {field.name for field in dataclasses.fields(config) if field.metadata.get(_POSITIVE)}
    changed = {
        name: _setting(
            f"'{model_id}'", name, types[name], value, before=getattr(config, name), positive=name in positives
        )
        for name, value in settings.items()
    }
    return dataclasses.replace(config, **changed)


def _setting(model: str, name: str, kind: Any, value: Any, *, before: Any, positive: bool) -> Any:
    """A setting as its field has it. Text is taken for a number, as YAML reads 1e-3; other types are not mixed.

    What is a count in the registered configuration (``before``) stays one: a negative number of channels or blocks
    would build a network of nothing. Fields that are ``positive`` take no 0, and rows of them are not empty.
    """
    wanted = kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
    if kind is float:
        number = _number(value)
        if math.isfinite(number) and (number > 0 or not positive):
            return number
        wanted = "a finite number" + (" above 0" if positive else "")
    elif get_origin(kind) is Literal:
        if any(type(value) is type(choice) and value == choice for choice in get_args(kind)):
            return value
        wanted = " or ".join(map(repr, get_args(kind)))
    elif kind is int:
        least = _least([before], positive=positive)
        if _whole([value], least=least):
            return value
        wanted = f"a whole number{_from(least)}"
    elif kind == tuple[int, ...]:
        least = _least(before, positive=positive)
        if isinstance(value, (tuple, list)) and _whole(value, least=least) and (value or not positive):
            return tuple(value)
        wanted = f"{'one or more ' if positive else ''}whole numbers{_from(least)}"
    elif kind in (bool, str):
        if type(value) is kind:
            return value
    else:
        return value
    raise UsageError(f"the setting '{name}' of {model} is {value!r}, expected {wanted}; correct it")


def _number(value: Any) -> float:
    """NaN for what is no number."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _least(before: Sequence[int], *, positive: bool) -> int | None:
    """The least value of whole numbers that were ``before`` in the registered configuration; none: any will do."""
    if positive:
        return 1
    return 0 if min(before, default=0) >= 0 else None


def _from(least: int | None) -> str:
    return "" if least is None else f" from {least} on"


def _whole(values: Sequence[Any], *, least: int | None) -> bool:
    return all(type(value) is int and (least is None or value >= least) for value in values)


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)
    return f"did you mean {' or '.join(near)}?" if near else ""
