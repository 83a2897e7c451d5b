"""From what the user names (nothing, a model id, weights, an artifact) to a session."""

import logging
from collections.abc import Sequence
from pathlib import Path

from bitsr.artifact.artifact import Artifact
from bitsr.artifact.formats import FORMATS, format_of
from bitsr.artifact.weights import embedded_weights, names_file, pretrained_models, read_weights_info
from bitsr.common.errors import UsageError
from bitsr.common.pictures import jpeg_quality
from bitsr.inference.artifact_session import ArtifactSession
from bitsr.inference.cache import cached_artifact
from bitsr.inference.pretrained import pretrained_artifact
from bitsr.inference.session import Session
from bitsr.inference.session_info import Sampling
from bitsr.runtime.network import CORE

log = logging.getLogger(__name__)
DEFAULT_SCALE = 4
EAGER = "eager"
RUNTIMES = (CORE, *FORMATS, EAGER)
# The families whose trained weights come with bitsr, best first; that for photos goes before them where it is wanted.
DEFAULT_FAMILIES = ("ebsr_light_plus", "ebsr_light")
PHOTO_FAMILY = "ebsr_light_plus_fast_photo"
# By scale, the highest quality of JPEG at which the weights for photos, which take a third of the time, lose less than
# 0.02 dB to the best ones in the mean of Set5 and Set14 (docs/zoo.md).
PHOTO_QUALITY = {2: 95, 4: 90}


def load(
    name_or_path: str | Path | None = None,
    *,
    scale: int | None = None,
    runtime: str | None = None,
    threads: int | None = None,
    sampling: Sampling | None = None,
) -> Session:
    """Open a network.

    Args:
        name_or_path: an artifact (.tflite, .pte), a weights file (.safetensors), the id of a model whose weights come
            with bitsr, or None for the built-in model. Weights are exported on first use and kept in the user's cache.
        scale: picks the built-in model (4 if None); for a given model it is only checked.
        runtime: "core" (our library alone, for artifacts that are made of our ops), "tflite" (LiteRT), "pte"
            (ExecuTorch) or "eager" (PyTorch); None is the core where it can run the artifact, otherwise the framework
            that the artifact is for.
        threads: of the core, or of LiteRT for its float layers and our kernels; None is all processors that the process
            may use. ExecuTorch has one pool for the whole process, which no session changes.
        sampling: of diffusion models, whose session is a :class:`bitsr.inference.session.SamplingSession`.

    Raises:
        UsageError: unknown model or runtime, a scale that contradicts the model, an artifact in another runtime, a
            sampling for a model that does not sample.
        NeedsFrameworkError: an artifact in the core that has ops of a framework.
        WeightsError, ArtifactError: unusable weights or artifact.
        MissingExtraError: the runtime, or what exports the weights, is not installed.

    >>> import bitsr
    >>> session = bitsr.load(scale=2)
    >>> session.info.model, session.info.scale
    ('ebsr_light_plus_x2', 2)
    """
    if runtime is not None and runtime not in RUNTIMES:
        raise UsageError(f"the runtime is '{runtime}'; expected one of {', '.join(RUNTIMES)}")
    if threads is not None and threads < 1:
        raise UsageError(f"{threads} threads were asked for; expected at least 1")
    name = str(name_or_path) if name_or_path is not None else default_model(scale or DEFAULT_SCALE)
    if format_of(name) is not None:
        return _artifact_session(Artifact.open(name), scale=scale, runtime=runtime, threads=threads, sampling=sampling)
    if runtime == EAGER:
        _note_threads(threads, "PyTorch has one pool for the whole process (torch.set_num_threads)")
        return _eager_session(name, scale=scale, sampling=sampling)
    artifact = Artifact.open(_exported(name, runtime))
    return _artifact_session(artifact, scale=scale, runtime=runtime, threads=threads, sampling=sampling)


def stated_scale(name_or_path: str | Path | None, *, scale: int | None = None) -> int | None:
    """The scale that :func:`load` would give, without loading anything; None where only loading tells.

    Raises:
        WeightsError, ArtifactError: unusable weights or artifact.
    """
    if scale is not None:
        return scale
    if name_or_path is None:
        return DEFAULT_SCALE
    name = str(name_or_path)
    if format_of(name) is not None:
        return Artifact.open(name).info.scale
    if names_file(name):
        name = read_weights_info(name).model
    number = name.rpartition("_x")[2]
    return int(number) if number.isascii() and number.isdigit() else None


def default_model(scale: int, *, pictures: Sequence[Path] = ()) -> str:
    """Id of the built-in model of a scale for ``pictures``: that for photos where JPEG has harmed all of them.

    Raises:
        UsageError: no weights of this scale come with bitsr.
    """
    have = pretrained_models()
    qualities = [jpeg_quality(picture) for picture in pictures]
    highest = PHOTO_QUALITY.get(scale, 0)
    photos = bool(qualities) and all(quality is not None and quality <= highest for quality in qualities)
    for family in (*((PHOTO_FAMILY,) if photos else ()), *DEFAULT_FAMILIES):
        if f"{family}_x{scale}" in have:
            return f"{family}_x{scale}"
    scales = sorted({f"x{name.rpartition('_x')[2]}" for name in have})
    raise UsageError(
        f"no weights of scale {scale} come with bitsr; there are: {', '.join(scales) or 'none'}; train some with "
        "`bitsr train`, and pass them with -m"
    )


def find_weights(name: str) -> tuple[Path, str]:
    """The weights file that a model id or path names, and the id of its model.

    Raises:
        UnknownNameError: neither a file nor a model id.
        WeightsError: no or unusable weights.
    """
    path = Path(name)
    if name in pretrained_models():
        return embedded_weights(name), name
    if not names_file(name):
        from bitsr.training.models import model_info

        model_info(name)  # raises the error that suggests the nearest id
        return embedded_weights(name), name
    return path, read_weights_info(path).model


def _exported(name: str, runtime: str | None) -> Path:
    """The artifact of weights: the one that bitsr carries, or one that is exported on first use.

    Where any format will do, it is one that bitsr carries, then one whose framework is installed.
    """
    weights, model_id = find_weights(name)
    kinds = [FORMATS[runtime]] if runtime in FORMATS else sorted(FORMATS.values(), key=lambda kind: not kind.installed)
    if name == model_id:
        carried = (pretrained_artifact(model_id, kind) for kind in kinds)
        if (path := next((path for path in carried if path is not None), None)) is not None:
            return path
    return cached_artifact(weights, model=model_id, kind=kinds[0])


def _eager_session(name: str, *, scale: int | None, sampling: Sampling | None) -> Session:
    from bitsr.inference.diffusion import DiffusionSession
    from bitsr.inference.eager import EagerSession
    from bitsr.training.models.diffusion import DiffusionModel
    from bitsr.training.weights import load_model

    model = load_model(name, scale=scale)
    if isinstance(model, DiffusionModel):
        return DiffusionSession.of_model(model, sampling=sampling or Sampling())
    refuse_sampling(name, sampling)
    return EagerSession(model)


def _artifact_session(
    artifact: Artifact, *, scale: int | None, runtime: str | None, threads: int | None, sampling: Sampling | None
) -> Session:
    session: Session
    if artifact.info.diffusion is not None:
        from bitsr.inference.diffusion import DiffusionSession

        sampling = sampling or Sampling()
        session = DiffusionSession.of_artifact(
            artifact, scale=scale, runtime=runtime, threads=threads, sampling=sampling
        )
    else:
        refuse_sampling(str(artifact.path), sampling)
        session = ArtifactSession(artifact, scale=scale, runtime=runtime, threads=threads)
    if session.info.runtime != CORE and not artifact.format.own_threads:
        _note_threads(threads, f"{artifact.format.runtime} has one pool for the whole process")
    return session


def _note_threads(threads: int | None, reason: str) -> None:
    if threads is not None:
        log.warning("threads=%d has no effect: %s, which no session changes", threads, reason)


def refuse_sampling(name: str, sampling: Sampling | None) -> None:
    """Refuse steps and a seed for a model that has neither.

    Raises:
        UsageError: as said.
    """
    if sampling is not None:
        raise UsageError(f"{name} is no diffusion model, so it has no steps and no seed; leave --steps and --seed out")
