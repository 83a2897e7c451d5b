"""Artifacts on targets: parity in three tiers, then times, one verdict."""

import datetime
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bitsr.artifact.artifact import read_artifact
from bitsr.common.errors import ArtifactError, UsageError
from bitsr.common.versions import package_version
from bitsr.export.deploy import fold
from bitsr.export.loading import weights_digest
from bitsr.training.models.diffusion import DiffusionModel
from bitsr.training.weights import load_model
from bitsr.validation.parity import diffusion_steps, pictures
from bitsr.validation.parity.ops import golden_picture
from bitsr.validation.parity.pictures import PictureOutput, TestPicture
from bitsr.validation.request import Request, artifacts, originals
from bitsr.validation.results import Artifact, Results, Run
from bitsr.validation.run import MAX_PSNR_DIFFERENCE_DB, MIN_PICTURE_PSNR_DB, ArtifactRun, ArtifactUnderTest, Say
from bitsr.validation.targets.open import expand, open_target

_PACKAGES = ("bitsr", "torch", "executorch", "ai-edge-litert", "tensorflow", "numpy")


@dataclass
class Outcome:
    """Results for the file, and pixels for the report: ``pictured[artifact, target]``, ``samples[artifact]``."""

    results: Results
    samples: dict[str, list[TestPicture]] = field(default_factory=dict)
    pictured: dict[tuple[str, str], list[PictureOutput]] = field(default_factory=dict)


def validate(request: Request, *, say: Say = print) -> Outcome:
    """Run everything that the request asks for.

    Raises:
        UsageError: wrong names, or weights that are not the artifact's.
        EnvironmentMissingError: a target needs something that is not here.
        BitsrError: an artifact or picture that can not be read, a device that does not answer.
    """
    names = expand(request.targets)
    paths = originals(request)
    subjects = [_subject(path, request, say) for path in artifacts(request.source)]
    outcome_samples: dict[str, list[TestPicture]] = {}
    pictured: dict[tuple[str, str], list[PictureOutput]] = {}
    runs: list[Run] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bitsr-validate-")))
        targets = []
        for name in names:
            target = open_target(name)
            stack.callback(target.close)
            targets.append(target)
        for subject in subjects:
            own = paths if subject.info.diffusion is None else []
            if subject.info.diffusion is None:
                say(f"{subject.path.name}: the eager reference on {len(own)} pictures")
            samples = pictures.make_samples(own, subject.network, scale=subject.info.scale, info=subject.info)
            outcome_samples[subject.path.name] = samples
            for target in targets:
                job = ArtifactRun(request, subject, target, samples, folder, say)
                runs.append(job.run())
                pictured[subject.path.name, target.name] = job.pictured
    results = Results(
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        command=request.command(),
        seed=request.seed,
        images=str(request.images or ""),
        limits={
            "picture_psnr_db": MIN_PICTURE_PSNR_DB,
            "psnr_difference_db": MAX_PSNR_DIFFERENCE_DB,
            "step_psnr_db": diffusion_steps.MIN_STEP_PSNR_DB,
        },
        versions={name: found for name in _PACKAGES if (found := package_version(name)) is not None},
        passed=all(run.passed for run in runs),
        artifacts=[subject.facts for subject in subjects],
        runs=runs,
    )
    return Outcome(results, outcome_samples, pictured)


def _subject(path: Path, request: Request, say: Say) -> ArtifactUnderTest:
    info = read_artifact(path)
    model = load_model(request.weights if request.weights is not None else info.model)
    if weights_digest(model.state_dict()) != info.weights_sha256:
        raise UsageError(
            f"{path} was exported from other weights than {request.weights or 'those that come with bitsr'}; "
            "name its weights file with --weights"
        )
    expected = (model.info.id, model.info.scale)
    if (info.model, info.scale) != expected:
        raise ArtifactError(
            f"{path} says that it is '{info.model}' at x{info.scale}, its weights are of '{expected[0]}' at "
            f"x{expected[1]}; its metadata was changed, export it again"
        )
    facts = Artifact(
        file=path.name,
        kind=info.kind,
        model=info.model,
        scale=info.scale,
        bytes=info.artifact_bytes,
        float_bytes=sum(4 * parameter.numel() for parameter in model.parameters()),
        sha256=info.artifact_sha256,
        weights_sha256=info.weights_sha256,
        versions=info.versions,
    )
    network = fold(model).eval()
    if not isinstance(model, DiffusionModel):
        picture = golden_picture(seed=request.seed, channels=info.in_channels)
        return ArtifactUnderTest(path, info, network, facts, (picture,), [])
    whole_steps: list[diffusion_steps.Step] = []
    if request.op is None:
        timesteps = ", ".join(map(str, diffusion_steps.compared_timesteps(model)))
        say(f"{path.name}: the eager reference at timesteps {timesteps}")
        whole_steps = diffusion_steps.make_steps(model, network, info=info, seed=request.seed)
    return ArtifactUnderTest(
        path, info, network, facts, diffusion_steps.replayed_step(model, seed=request.seed), whole_steps
    )
