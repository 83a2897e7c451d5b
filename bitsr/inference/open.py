"""From what the user names (nothing, a model id, weights, an artefact) to a session."""

from pathlib import Path

from bitsr.artifact.info import read_artifact
from bitsr.common.errors import UsageError
from bitsr.inference.cache import Say, cached_artifact
from bitsr.inference.session import Sampling, Session

DEFAULT_SCALE = 4
_FRAMEWORKS = {"pte": "ExecuTorch", "tflite": "LiteRT"}
# The families whose trained weights come with bitsr, best first.
DEFAULT_FAMILIES = ("ebsr_light_plus", "ebsr_light")


def open_session(
    model: str | Path | None = None,
    *,
    runtime: str | None = None,
    scale: int | None = None,
    say: Say = print,
    sampling: Sampling | None = None,
) -> Session:
    """Open a session.

    Args:
        model: a .pte or .tflite, a weights file (.safetensors), a model id with embedded weights, or None for the
            built-in model.
        runtime: "eager", "pte" or "tflite"; None is what an artefact is for, otherwise "pte".
        scale: picks the built-in model (4 if None); for a given model it is only checked.
        say: receives remarks, such as that an artefact is exported on first use.
        sampling: of diffusion models, whose session is a :class:`DiffusionSession`; by default its default.

    Raises:
        UsageError: unknown model, a scale that contradicts the model, an artefact in another runtime, a sampling for a
            model that does not sample.
        WeightsError, ArtifactError: unusable weights or artefact.
    """
    name = str(model) if model is not None else default_model(scale or DEFAULT_SCALE)
    kind = Path(name).suffix.removeprefix(".")
    if kind in _FRAMEWORKS:
        if runtime not in (None, kind):
            raise UsageError(
                f"{name} runs in {_FRAMEWORKS[kind]} only; give a weights file or a model id for --runtime {runtime}"
            )
        return _artifact_session(Path(name), scale=scale, sampling=sampling)
    if runtime == "eager":
        return _eager_session(name, scale=scale, sampling=sampling)
    weights, model_id = find_weights(name)
    _check_scale(name, model_id, scale)
    artifact = cached_artifact(weights, model=model_id, kind=runtime or "pte", say=say)
    return _artifact_session(artifact, sampling=sampling)


def _eager_session(name: str, *, scale: int | None, sampling: Sampling | None) -> Session:
    from bitsr.inference.diffusion import DiffusionSession
    from bitsr.inference.eager import EagerSession
    from bitsr.training.models.diffusion import DiffusionModel
    from bitsr.training.weights import load_model

    model = load_model(name, scale=scale)
    if isinstance(model, DiffusionModel):
        return DiffusionSession.of_model(model, sampling=sampling or Sampling())
    _refuse_sampling(name, sampling)
    return EagerSession(model)


def _artifact_session(path: Path, *, scale: int | None = None, sampling: Sampling | None = None) -> Session:
    if read_artifact(path).diffusion is not None:
        from bitsr.inference.diffusion import DiffusionSession

        return DiffusionSession.of_artifact(path, scale=scale, sampling=sampling or Sampling())
    _refuse_sampling(str(path), sampling)
    if path.suffix == ".tflite":
        from bitsr.inference.tflite import TfliteSession

        return TfliteSession(path, scale=scale)
    from bitsr.inference.pte import PteSession

    return PteSession(path, scale=scale)


def _refuse_sampling(name: str, sampling: Sampling | None) -> None:
    if sampling is not None:
        raise UsageError(f"{name} is no diffusion model, so it has no steps and no seed; leave --steps and --seed out")


def default_model(scale: int) -> str:
    """Id of the built-in model of a scale.

    Raises:
        UsageError: no weights of this scale come with bitsr.
    """
    from bitsr.training.weights import weights_folder

    for family in DEFAULT_FAMILIES:
        if (weights_folder() / f"{family}_x{scale}.safetensors").is_file():
            return f"{family}_x{scale}"
    have = sorted({path.stem.rpartition("_x")[2] for path in weights_folder().glob("*.safetensors")})
    raise UsageError(
        f"no weights of scale {scale} come with bitsr; there are: {', '.join(f'x{s}' for s in have) or 'none'}; "
        "train some with `bitsr train`, and pass them with -m"
    )


def find_weights(name: str) -> tuple[Path, str]:
    """The weights file that a model id or path names, and the id of its model.

    Raises:
        UnknownNameError: neither a file nor a model id.
        WeightsError: no or unusable weights.
    """
    from bitsr.training.models import list_models, model_info
    from bitsr.training.weights import embedded_weights, read_info

    if name in list_models():
        return embedded_weights(name), name
    path = Path(name)
    if not (path.exists() or path.suffix == ".safetensors"):
        model_info(name)  # raises the error that suggests the nearest id
    return path, read_info(path).model


def _check_scale(name: str, model_id: str, scale: int | None) -> None:
    from bitsr.training.models import model_info

    own = model_info(model_id).scale
    if scale is not None and scale != own:
        raise UsageError(f"{name} is a x{own} model, but scale {scale} was asked for; leave the scale out")
