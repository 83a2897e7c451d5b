"""One artifact on one target: parity in three tiers, then times."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bitsr.artifact.formats import sidecar_path
from bitsr.common.errors import ArtifactError, UsageError
from bitsr.export.errors import ExportError
from bitsr.export.parity.matching import pair
from bitsr.inference.tiled import to_8bit
from bitsr.runtime.network import CORE
from bitsr.validation.artifact_under_test import ArtifactUnderTest
from bitsr.validation.errors import TargetError
from bitsr.validation.parity import diffusion_steps, layers, pictures
from bitsr.validation.parity.ops import replay
from bitsr.validation.parity.pictures import PictureOutput
from bitsr.validation.parity.reported import calls_of_reported
from bitsr.validation.results import (
    DeviceFacts,
    Failure,
    FirstDivergence,
    Latency,
    LayerError,
    OpResult,
    OpTime,
    Run,
    StepResult,
)
from bitsr.validation.targets.base import Target
from bitsr.validation.targets.runner_protocol import FRAMEWORK
from bitsr.validation.timing import protocol

log = logging.getLogger(__name__)

# PSNR between the 8-bit pictures of target and eager reference. The framework's float head adds in another order than
# PyTorch, which flips signs near their thresholds, and each flip moves others: 52 dB were measured on a small picture
# where every op alone was exact. This limit is for wrong connections; wrong constants are tier 1's. A network of exact
# ops alone has no such excuse: there the pictures must be identical.
MIN_PICTURE_PSNR_DB = 45.0
# Between the mean PSNR of target and reference over the test set.
MAX_PSNR_DIFFERENCE_DB = 0.01


class ArtifactRun:
    """One artifact on one target, step by step; what fails is noted, and the next step goes on."""

    def __init__(self, subject: ArtifactUnderTest, target: Target, folder: Path) -> None:
        """``folder`` holds what is made for all targets, such as the float twin."""
        self.subject, self.target, self.folder = subject, target, folder
        self.request, self.samples = subject.request, subject.samples
        self._model = ""  # the artifact's path on the target, once it has opened there
        self._ours = True  # it has ops of our kernels
        self._runs_alone = False  # there, without a framework
        self.failures: list[Failure] = []
        self.notes: list[str] = []
        self.ops: list[OpResult] = []
        self.pictured: list[PictureOutput] = []
        self.steps: list[StepResult] = []
        self.first_divergence: FirstDivergence | None = None
        self.layers: list[LayerError] = []
        self.latency: list[Latency] = []
        self.profile: list[OpTime] = []

    def run(self) -> Run:
        device = self._device()
        with self._step("replay the ops"):
            self._op_tier()
        model = self._model
        if model and self.samples:
            with self._step("run the pictures"):
                self._picture_tiers(model)
            if self._runs_alone and self.pictured:
                with self._step("run a picture in the core alone"):
                    self._without_framework(model)
            if self.target.can_dump_layers and self._ours and self.pictured:
                with self._step("compare the layers"):
                    self._layers(model)
        if model and self.subject.steps:
            with self._step("run whole steps"):
                self._whole_steps(model)
        if model and self.request.runs != 0 and self.request.op is None:
            if self.target.emulated:
                self.notes.append("parity only: an emulator's times say nothing of a device's")
            else:
                with self._step("measure times"):
                    self._times(model)
        return Run(
            artifact=self.subject.path.name,
            target=self.target.name,
            emulated=self.target.emulated,
            device=device,
            failures=self.failures,
            ops=self.ops,
            pictures=[item.result for item in self.pictured],
            steps=self.steps,
            first_divergence=self.first_divergence,
            layers=self.layers,
            latency=self.latency,
            profile=self.profile,
            notes=self.notes,
        )

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        log.info("%s on %s: %s", self.subject.path.name, self.target.name, what)
        try:
            yield
        except (TargetError, ArtifactError) as error:
            self._fail("run", f"{what}: {error}")

    def _fail(self, tier: str, message: str, **more: object) -> None:
        command = self.request.command(source=self.subject.path, on=self.target.name, **more)
        self.failures.append(
            Failure.model_validate({"tier": tier, "message": message, "seed": self.request.seed, "reproduce": command})
        )

    def _device(self) -> DeviceFacts:
        """Facts of the device; on the way the artifact is brought there and opened, where it can run."""
        described = self.target.describe()
        kernel, isa, build, versions = "", list[str](), "", dict[str, str]()
        missing = self.target.unsupported.get(self.subject.info.kind)
        if missing is not None:
            self.notes.append(f"the network was not run: {missing}; its ops were")
        else:
            with self._step("look at the artifact"):
                if self.subject.path.suffix == ".pte":
                    self.target.push(sidecar_path(self.subject.path))
                model = self.target.push(self.subject.path)
                (found,) = self.target.run([model, "--info", "--runtime", FRAMEWORK]).models
                (own,) = self.target.run([model, "--info"]).models
                self._model, self._runs_alone = model, CORE in own.versions
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
            notes=described.notes,
        )

    def _op_tier(self) -> None:
        cases = self.subject.cases
        if not cases:
            self._without_ops()
            return
        self.ops = replay(self.target, cases)
        for result in (result for result in self.ops if result.wrong):
            worst = result.worst
            assert worst is not None
            self._fail(
                "op",
                f"op {result.index} ({result.kind}, {result.module}), {result.check}: {result.wrong} of "
                f"{result.elements} values are wrong, the worst at {tuple(worst.at)}: expected {worst.expected:.9g}, "
                f"got {worst.got if worst.got is None else format(worst.got, '.9g')}",
                op=result.index,
                images=None,
            )

    def _without_ops(self) -> None:
        name = self.subject.path.name
        if self.request.op is not None:
            raise UsageError(f"{name} has no op {self.request.op} of our kernels; leave --op out")
        if not (self._model and (self.samples or self.subject.steps)):
            advice = "name --images" if self.subject.info.diffusion is None else "choose a target that runs it"
            raise UsageError(f"{name} has no op of our kernels to replay, so that nothing is compared; {advice}")
        self._ours = False
        self.notes.append("no op of our kernels: the framework's own compute all of it")

    def _picture_tiers(self, model: str) -> None:
        for number, sample in enumerate(self.samples, start=1):
            log.info("%s: picture %d of %d, %s", self.target.name, number, len(self.samples), sample.name)
            done = pictures.run_picture(self.target, model, sample, info=self.subject.info)
            self.pictured.append(done)
            result = done.result
            least = math.inf if self._ours and self.subject.recording.exact else MIN_PICTURE_PSNR_DB
            if result.agreement < least:
                wanted = "identity, because every op is exact" if math.isinf(least) else f"at least {least:.0f}"
                self._fail(
                    "picture",
                    f"{result.name}: target and eager agree to {result.agreement:.1f} dB, expected {wanted}; "
                    f"{100 * result.differing:.2f} % of the pixels differ, by at most {result.largest} of 255",
                    images=self._picture(result.name),
                    pictures=None,
                    runs=0,
                )
        results = [item.result for item in self.pictured]
        difference = float(np.mean([r.psnr for r in results]) - np.mean([r.eager_psnr for r in results]))
        if not abs(difference) <= MAX_PSNR_DIFFERENCE_DB:
            self._fail(
                "ground truth",
                f"PSNR against the originals is {difference:+.4f} dB away from the eager reference's, expected at "
                f"most {MAX_PSNR_DIFFERENCE_DB}",
                runs=0,
            )

    def _without_framework(self, model: str) -> None:
        """An artifact of our ops alone: the core gives the framework's picture, pixel for pixel."""
        sample, pictured = self.samples[0], self.pictured[0]
        output = pictures.run_network(self.target, model, sample.low, info=self.subject.info, runtime=CORE)
        differing = int((to_8bit(output[0]) != pictured.target).any(axis=-1).sum())
        if differing:
            self._fail(
                "picture",
                f"{sample.name}: {differing} pixels of the core alone are not the framework's, expected all the same",
                images=self._picture(sample.name),
                pictures=None,
                runs=0,
            )
        else:
            self.notes.append(f"the core alone, without the framework, gives the same pixels of {sample.name}")

    def _whole_steps(self, model: str) -> None:
        for step in self.subject.steps:
            self.steps.append(diffusion_steps.run_step(self.target, model, step, info=self.subject.info))
            if reason := diffusion_steps.disagreement(self.steps[-1]):
                self._fail("step", reason, runs=0)

    def _picture(self, name: str) -> Path | None:
        images = self.request.images
        return images / name if images is not None and images.is_dir() else images

    def _layers(self, model: str) -> None:
        """On the picture that agrees least, of those that ran."""
        worst = min(
            zip(self.samples, self.pictured, strict=False),
            key=lambda pair: np.inf if pair[1].result.parity_psnr is None else pair[1].result.parity_psnr,
        )[0]
        self.first_divergence, self.layers = layers.compare_layers(
            self.target,
            model,
            self.subject.ops,
            self.subject.network,
            worst.low,
            info=self.subject.info,
            picture=worst.name,
        )

    def _times(self, model: str) -> None:
        counts = protocol.thread_counts(self.request.threads, cores=self.target.cores)
        twin = self._twin()
        side = self.subject.timed_side
        shape = (1, self.subject.info.in_channels, side, side)
        self.latency = [
            protocol.measure(self.target, model, twin, threads=count, shape=shape, runs=self.request.runs)
            for count in counts
        ]
        for entry in self.latency:
            self.notes += [
                f"times with {entry.threads} thread{'s' if entry.threads > 1 else ''} are in doubt: {doubt}"
                for doubt in entry.doubts
            ]
        if self._ours:
            self.profile = self._with_modules(protocol.profile(self.target, model, shape=shape))

    def _twin(self) -> str | None:
        """The float twin's path on the target, ``None`` where there is none."""
        try:
            return self.target.push(self.subject.write_twin(self.folder))
        except ExportError as error:
            self.notes.append(f"no float twin: {error}")
            return None

    def _with_modules(self, profile: list[OpTime]) -> list[OpTime]:
        """Our ops with the names of the network's modules: a place PARTITION/OP says nothing to a reader."""
        calls = self.subject.calls
        reported = [tuple(entry.name.split(" ", 1)) for entry in profile if entry.kind == "bitsr"]
        places = [(place, kind) for place, kind in (parts for parts in reported if len(parts) == 2)]
        found = calls_of_reported(places, pair(self.subject.ops, calls), calls)
        return [
            entry.model_copy(update={"module": found[place].module})
            if (place := entry.name.partition(" ")[0]) in found
            else entry
            for entry in profile
        ]
