"""Artifacts on targets: parity in three tiers, then times, one verdict."""

import datetime
import logging
import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bitsr.common.extras import needs
from bitsr.common.files import make_folder
from bitsr.common.versions import package_version
from bitsr.export.one_thread import one_thread
from bitsr.validation.artifact_under_test import References
from bitsr.validation.parity import diffusion_steps
from bitsr.validation.parity.pictures import PictureOutput, TestPicture
from bitsr.validation.request import Request, artifacts, originals
from bitsr.validation.results import Results, Run, write_results
from bitsr.validation.run import MAX_PSNR_DIFFERENCE_DB, MIN_PICTURE_PSNR_DB, ArtifactRun
from bitsr.validation.targets.open import expand, open_target

log = logging.getLogger(__name__)

RESULTS, REPORT = "results.json", "report.html"
_PACKAGES = ("bitsr", "torch", "executorch", "ai-edge-litert", "tensorflow", "numpy")


@dataclass
class Outcome:
    """Results for the file, and pixels for the report: ``pictured[artifact, target]``, ``samples[artifact]``."""

    results: Results
    samples: dict[str, list[TestPicture]] = field(default_factory=dict)
    pictured: dict[tuple[str, str], list[PictureOutput]] = field(default_factory=dict)


def validate(
    source: str | Path,
    *,
    on: str = "host",
    images: str | Path | None = None,
    report: str | Path | None = None,
    weights: str | Path | None = None,
    pictures: int | None = None,
    op: int | None = None,
    seed: int = 0,
    threads: str = "1,n",
    runs: int | None = None,
) -> Results:
    """Prove that artifacts compute on targets what eager PyTorch computes, and measure how fast.

    >>> results = validate("build/x2", weights="tiny.safetensors", images="photos", threads="1", runs=3)
    >>> results.passed
    True
    >>> run = results.runs[0]
    >>> run.target, run.verdict
    ('host', 'pass')
    >>> run.latency[0].artifact.median_ms > 0
    True

    Args:
        source: folder of an export, or one artifact.
        on: targets, separated by commas: host, native, qemu, qemu:CPU, adb:SERIAL.
        images: folder of original pictures, or one picture; they are reduced by the artifact's scale. Without them
            the ops alone are compared.
        report: folder that receives ``results.json`` and ``report.html``.
        weights: what the artifact was exported from, where they are not those that come with bitsr.
        pictures: only so many of the pictures.
        op: only this op of the artifact, as failures name it.
        seed: of the golden picture that the ops are replayed with.
        threads: thread counts of the times, separated by commas; n is all cores.
        runs: timed runs, 0 for no times; by default as many as fit into some seconds, 5 to 50.

    Raises:
        UsageError: wrong names, or weights that are not the artifact's.
        EnvironmentMissingError: a target needs something that is not here.
        BitsrError: an artifact or picture that can not be read, a device that does not answer.
    """
    request = Request(
        Path(source),
        on,
        None if images is None else Path(images),
        None if weights is None else Path(weights),
        seed,
        op,
        pictures,
        threads,
        runs,
    )
    if report is None:
        return run_request(request).results
    with needs("report", purpose="The report of a validation"):  # before minutes are spent on the rest
        from bitsr.validation.report.page import write_report

    folder = Path(report)
    make_folder(folder)
    outcome = run_request(request)
    log.info("write the report")
    write_results(folder / RESULTS, outcome.results)
    write_report(folder / REPORT, outcome)
    return outcome.results


@one_thread()  # of PyTorch, the reference; the targets have their own
def run_request(request: Request) -> Outcome:
    """Run everything that the request asks for; errors as :func:`validate`."""
    load = os.getloadavg()[0]
    names = expand(request.targets)
    paths = originals(request)
    sources = artifacts(request.source)
    outcome_samples: dict[str, list[TestPicture]] = {}
    pictured: dict[tuple[str, str], list[PictureOutput]] = {}
    runs: list[Run] = []
    facts = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bitsr-validate-")))
        targets = []
        for name in names:
            target = open_target(name)
            stack.callback(target.close)
            targets.append(target)
        references = References(request, paths)
        for subject in [references.open(path) for path in sources]:
            facts.append(subject.facts)
            outcome_samples[subject.path.name] = subject.samples
            for target in targets:
                job = ArtifactRun(subject, target, folder)
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
        load_average=round(load, 2),
        artifacts=facts,
        runs=runs,
    )
    return Outcome(results, outcome_samples, pictured)
