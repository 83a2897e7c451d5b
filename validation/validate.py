"""Artefacts on targets: parity in three tiers, then times, one verdict."""

import datetime
import shlex
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import nn

from bitsr.common.errors import UsageError
from bitsr.common.pictures import list_pictures
from bitsr.common.versions import package_version
from bitsr.export.artifact import ArtifactInfo, read_artifact, sidecar_path, weights_digest
from bitsr.export.deploy import fold
from bitsr.export.errors import ExportError
from bitsr.training.weights import load_model
from bitsr.validation import latency, layers, op_parity, twin, whole
from bitsr.validation.errors import TargetError
from bitsr.validation.results import (
    Artifact,
    DeviceFacts,
    Failure,
    Latency,
    LayerError,
    OpResult,
    OpTime,
    Parting,
    Results,
    Run,
)
from bitsr.validation.targets.base import Target
from bitsr.validation.targets.open import expand, open_target
from bitsr.validation.whole import Pictured, Sample

# Between the 8-bit pictures of target and eager reference. The order of a gate's float sums moves it by 6e-8, which
# flips signs near their thresholds, and each flip moves others: 52 dB were measured on a small picture where every op
# alone was exact or within its bound. This limit is for wrong connections; wrong constants are tier 1's.
LEAST_PICTURE_DB = 45.0
# Of the means over the test set.
MOST_PSNR_DIFFERENCE_DB = 0.01
# Of the square that is timed, where the artefact leaves a choice and takes so many pixels.
TIMED_SIDE = 128
_PACKAGES = ("bitsr", "torch", "executorch", "ai-edge-litert", "tensorflow", "numpy")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What to validate; see the options of ``bitsr validate``."""

    source: Path
    targets: str = "host"
    images: Path | None = None
    weights: Path | None = None
    seed: int = 0
    op: int | None = None
    pictures: int | None = None
    threads: str = "1,n"
    runs: int = latency.RUNS

    def command(self, *, source: Path | None = None, on: str | None = None, **more: object) -> str:
        """The command line that asks for this, or for a part of it."""
        options: dict[str, object] = {"on": on or self.targets, "images": self.images, "weights": self.weights}
        options.update({"seed": self.seed, "pictures": self.pictures, "op": self.op, **more})
        words = ["bitsr", "validate", str(source or self.source)]
        for name, value in options.items():
            words += [] if value is None else [f"--{name}", str(value)]
        return shlex.join(words)


@dataclass
class Outcome:
    """Results for the file, and pixels for the report: ``pictured[artifact, target]``, ``samples[artifact]``."""

    results: Results
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    pictured: dict[tuple[str, str], list[Pictured]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Subject:
    """An artefact with its reference."""

    path: Path
    info: ArtifactInfo
    network: nn.Module
    facts: Artifact


def validate(request: Request, *, say: Say = print) -> Outcome:
    """Run everything that the request asks for.

    Raises:
        UsageError: wrong names, or weights that are not the artefact's.
        EnvironmentMissingError: a target needs something that is not here.
        BitsrError: an artefact or picture that can not be read, a device that does not answer.
    """
    names = expand(request.targets)
    paths = _pictures(request)
    subjects = [_subject(path, request) for path in _artifacts(request.source)]
    outcome_samples: dict[str, list[Sample]] = {}
    pictured: dict[tuple[str, str], list[Pictured]] = {}
    runs: list[Run] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bitsr-validate-")))
        targets = []
        for name in names:
            target = open_target(name)
            stack.callback(target.close)
            targets.append(target)
        for subject in subjects:
            say(f"{subject.path.name}: the eager reference on {len(paths)} pictures")
            samples = whole.make_samples(paths, subject.network, scale=subject.info.scale, info=subject.info)
            outcome_samples[subject.path.name] = samples
            for target in targets:
                job = _Job(request, subject, target, samples, folder, say)
                runs.append(job.run())
                pictured[subject.path.name, target.name] = job.pictured
    results = Results(
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        command=request.command(),
        seed=request.seed,
        images=str(request.images or ""),
        limits={"picture_psnr_db": LEAST_PICTURE_DB, "psnr_difference_db": MOST_PSNR_DIFFERENCE_DB},
        versions={name: found for name in _PACKAGES if (found := package_version(name)) is not None},
        passed=all(run.passed for run in runs),
        artifacts=[subject.facts for subject in subjects],
        runs=runs,
    )
    return Outcome(results, outcome_samples, pictured)


def _artifacts(source: Path) -> list[Path]:
    """The artefacts of an export folder, or the one that is named; float twins are what others are compared with."""
    if source.is_file():
        return [source]
    found = sorted([*source.glob("*.pte"), *source.glob("*.tflite")])
    found = [path for path in found if not path.stem.endswith("_float")]
    if not found:
        raise UsageError(f"there is no .pte or .tflite in {source}; write them with: bitsr export MODEL -o {source}")
    return found


def _pictures(request: Request) -> list[Path]:
    if request.images is None or request.op is not None:
        return []
    found = [request.images] if request.images.is_file() else list_pictures(request.images)
    return found[: request.pictures]


def _subject(path: Path, request: Request) -> _Subject:
    info = read_artifact(path)
    if info.diffusion is not None:
        raise UsageError(f"{path} is one step of a diffusion, whose pictures `bitsr validate` can not compare")
    model = load_model(request.weights if request.weights is not None else info.model)
    if weights_digest(model.state_dict()) != info.weights_sha256:
        raise UsageError(
            f"{path} was exported from other weights than {request.weights or 'those that come with bitsr'}; "
            "name its weights file with --weights"
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
    return _Subject(path, info, fold(model).eval(), facts)


class _Job:
    """One artefact on one target, step by step; what fails is noted, and the next step goes on."""

    def __init__(
        self, request: Request, subject: _Subject, target: Target, samples: list[Sample], folder: Path, say: Say
    ) -> None:
        self.request, self.subject, self.target, self.samples = request, subject, target, samples
        self.folder, self._say = folder, say
        self._model = ""  # the artefact's path on the target, once it has opened there
        self.failures: list[Failure] = []
        self.remarks: list[str] = []
        self.ops: list[OpResult] = []
        self.pictured: list[Pictured] = []
        self.parting: Parting | None = None
        self.layers: list[LayerError] = []
        self.latency: list[Latency] = []
        self.profile: list[OpTime] = []

    def run(self) -> Run:
        device = self._device()
        with self._step("replay the ops"):
            self._op_tier()
        model = self._model
        if model and self.samples:
            with self._step(f"run {len(self.samples)} pictures"):
                self._picture_tiers(model)
            if self.target.layers:
                with self._step("compare the layers"):
                    self._layers(model)
        if model and self.request.runs and self.request.op is None:
            if self.target.emulated:
                self.remarks.append("parity only: an emulator's times say nothing of a device's")
            else:
                with self._step("measure times"):
                    self._times(model)
        return Run(
            artifact=self.subject.path.name,
            target=self.target.name,
            emulated=self.target.emulated,
            device=device,
            passed=not self.failures,
            failures=self.failures,
            ops=self.ops,
            pictures=[item.result for item in self.pictured],
            parting=self.parting,
            layers=self.layers,
            latency=self.latency,
            profile=self.profile,
            remarks=self.remarks,
        )

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        self._say(f"{self.subject.path.name} on {self.target.name}: {what}")
        try:
            yield
        except TargetError as error:
            self._fail("run", f"{what}: {error}")

    def _fail(self, tier: str, message: str, **more: object) -> None:
        command = self.request.command(source=self.subject.path, on=self.target.name, **more)
        self.failures.append(
            Failure.model_validate({"tier": tier, "message": message, "seed": self.request.seed, "reproduce": command})
        )

    def _device(self) -> DeviceFacts:
        """Facts of the device; on the way the artefact is brought there and opened, where it can run."""
        described = self.target.describe()
        kernel, isa, build, versions = "", list[str](), "", dict[str, str]()
        missing = self.target.without.get(self.subject.info.kind)
        if missing is not None:
            self.remarks.append(f"the network was not run: {missing}; its ops were")
        else:
            with self._step("look at the artefact"):
                if self.subject.path.suffix == ".pte":
                    self.target.push(sidecar_path(self.subject.path))
                model = self.target.push(self.subject.path)
                (found,) = self.target.run([model, "--info"]).models
                self._model = model
                kernel, isa, versions = found.device.kernel, found.device.isa, found.versions
                build = f"{found.build.type} {found.build.compiler}".strip()
        return DeviceFacts(
            machine=described.machine,
            system=described.system,
            processor=described.processor,
            isa=isa,
            kernel=kernel,
            build=build,
            versions=versions,
            remarks=described.remarks,
        )

    def _op_tier(self) -> None:
        x = op_parity.golden_picture(seed=self.request.seed, channels=self.subject.info.in_channels)
        cases = op_parity.make_cases(self.subject.path, self.subject.network, x, only=self.request.op)
        if not cases:
            raise UsageError(f"{self.subject.path.name} has no op {self.request.op} of our kernels; leave --op out")
        self.ops = op_parity.replay(self.target, cases)
        for result in (result for result in self.ops if result.wrong):
            worst = result.worst
            assert worst is not None
            self._fail(
                "op",
                f"op {result.index} ({result.kind}, {result.module}), {result.check}: {result.wrong} of "
                f"{result.elements} values are wrong, the worst at {tuple(worst.at)}: expected {worst.expected:.9g}, "
                f"got {worst.got if worst.got is None else format(worst.got, '.9g')}, bound {worst.bound:.3g}",
                op=result.index,
                images=None,
            )

    def _picture_tiers(self, model: str) -> None:
        for sample in self.samples:
            done = whole.run_picture(self.target, model, sample, info=self.subject.info)
            self.pictured.append(done)
            result = done.result
            if result.parity_psnr is not None and result.parity_psnr < LEAST_PICTURE_DB:
                self._fail(
                    "picture",
                    f"{result.name}: target and eager agree to {result.parity_psnr:.1f} dB, expected at least "
                    f"{LEAST_PICTURE_DB:.0f}; {100 * result.differing:.2f} % of the pixels differ, by at most "
                    f"{result.largest} of 255",
                    images=self._picture(result.name),
                    pictures=None,
                    runs=0,
                )
        results = [item.result for item in self.pictured]
        difference = float(np.mean([r.psnr for r in results]) - np.mean([r.eager_psnr for r in results]))
        if not abs(difference) <= MOST_PSNR_DIFFERENCE_DB:
            self._fail(
                "ground truth",
                f"PSNR against the originals is {difference:+.4f} dB away from the eager reference's, expected at "
                f"most {MOST_PSNR_DIFFERENCE_DB}",
                runs=0,
            )

    def _picture(self, name: str) -> Path | None:
        images = self.request.images
        return images / name if images is not None and images.is_dir() else images

    def _layers(self, model: str) -> None:
        """On the picture that agrees least."""
        worst = min(
            zip(self.samples, self.pictured, strict=True),
            key=lambda pair: np.inf if pair[1].result.parity_psnr is None else pair[1].result.parity_psnr,
        )[0]
        self.parting, self.layers = layers.compare_layers(
            self.target, model, self.subject.network, worst.low, info=self.subject.info, picture=worst.name
        )

    def _times(self, model: str) -> None:
        counts = latency.thread_counts(self.request.threads, cores=self.target.cores)
        other = self._twin()
        there = None if other is None else self.target.push(other)
        shape = (1, self.subject.info.in_channels, self._timed_side, self._timed_side)
        self.latency = [
            latency.measure(self.target, model, there, threads=count, shape=shape, runs=self.request.runs)
            for count in counts
        ]
        self.profile = latency.profile(self.target, model, shape=shape)

    @property
    def _timed_side(self) -> int:
        return self.subject.info.sizes.square(most=TIMED_SIDE)

    def _twin(self) -> Path | None:
        """Beside the artefact where it is there; a .pte's is made here."""
        path = self.subject.path
        beside = path.with_name(f"{path.stem}_float{path.suffix}")
        if beside.is_file():
            return beside
        if path.suffix == ".tflite":
            self.remarks.append("no float twin; `bitsr export --to tflite --float-twin` writes it")
            return None
        made = self.folder / beside.name
        if not made.exists():
            self._say(f"{path.name}: export its float twin")
            info = self.subject.info
            fixed = info.sizes.only_side is not None
            try:
                twin.write_twin(
                    made, self.subject.network, channels=info.in_channels, side=self._timed_side, fixed=fixed
                )
            except ExportError as error:
                self.remarks.append(f"no float twin: {error}")
                return None
        return made
