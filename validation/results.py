"""``results.json``: what a validation found, version 3.

One file holds every artifact on every target. Times are milliseconds, PSNR dB; infinite PSNR (nothing differs) is
null. A list of positions is (n, c, h, w).
"""

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, computed_field

from bitsr.common.files import atomic_write
from bitsr.validation.errors import ResultsError

FORMAT: Literal["bitsr-validation"] = "bitsr-validation"
VERSION: Literal[3] = 3

Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Verdict = Literal["pass", "ops pass", "fail"]


def finite(value: float) -> float | None:
    """JSON has neither NaN nor infinity."""
    return value if math.isfinite(value) else None


def _ratio(slow: float, fast: float) -> float | None:
    return slow / fast if fast else None


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Artifact(_Part):
    """One file of the export folder; ``float_bytes`` is what the float32 weights take."""

    file: str
    kind: str
    model: str
    scale: Annotated[int, Field(ge=1)]
    bytes: Count
    float_bytes: Count
    sha256: str
    weights_sha256: str
    versions: dict[str, str]


class Worst(_Part):
    """The element that is furthest from the reference's: where, what was expected, what came (``None``: no number)."""

    at: list[int]
    expected: Finite
    got: float | None


class OpResult(_Part):
    """One check of one op: ``index`` counts the artifact's ops; ``wrong`` of ``elements`` are not the reference's."""

    index: Count
    kind: str
    module: str
    check: str
    elements: Count
    wrong: Count
    largest_error: NonNegative | None
    worst: Worst | None


class FirstDivergence(_Part):
    """The first op whose results differ from the reference's, and how many of all signs came out differently.

    ``flipped`` of ``signs`` are those of all binary layers' inputs that the runner dumps; ``first_flip`` is the first
    layer that has one.
    """

    picture: str
    index: Count
    kind: str
    module: str
    differing: Share
    largest_error: NonNegative | None
    worst: Worst
    flipped: Count
    signs: Count
    first_flip: str


class LayerError(_Part):
    """Error of one op's result in the whole network: root mean square, relative to the reference's."""

    index: Count
    kind: str
    module: str
    relative_error: NonNegative | None


class PictureResult(_Part):
    """One picture: target against eager (``parity_*``), both against the original."""

    name: str
    low_size: tuple[int, int]
    parity_psnr: Finite | None
    differing: Share
    largest: Count
    eager_psnr: Finite
    eager_ssim: Finite
    psnr: Finite
    ssim: Finite

    @property
    def agreement(self) -> float:
        """``parity_psnr``, infinite where nothing differs."""
        return math.inf if self.parity_psnr is None else self.parity_psnr


class StepResult(_Part):
    """One step of a diffusion model: target against eager.

    ``parity_psnr`` is relative to ``range``, that of the eager values, and null where nothing differs
    (``largest_difference`` is 0 then), where eager is constant, and where a value of the target is no number
    (``largest_difference`` is null then).
    """

    timestep: Count
    parity_psnr: Finite | None
    largest_difference: NonNegative | None
    range: NonNegative

    @property
    def agreement(self) -> float:
        """``parity_psnr``, infinite where nothing differs, minus infinity where there is none to tell."""
        if self.parity_psnr is None:
            return math.inf if self.largest_difference == 0 else -math.inf
        return self.parity_psnr


# Shares of the median and of the time by the clock; above them a time says something about the machine's other work.
MAX_SPREAD = 0.25
MAX_WAITING = 0.1


class Samples(_Part):
    """Times of one network at one thread count; ``samples_cpu_ms`` is the processor time of the same runs."""

    load_ms: list[NonNegative]
    first_ms: NonNegative | None
    samples_ms: list[NonNegative]
    samples_cpu_ms: list[NonNegative] = []
    median_ms: NonNegative
    p90_ms: NonNegative
    min_ms: NonNegative
    peak_rss_bytes: Count | None

    @property
    def spread(self) -> float:
        """From the least to the 90th percentile, as a share of the median."""
        return (self.p90_ms - self.min_ms) / self.median_ms if self.median_ms else 0.0


class Latency(_Part):
    """The artifact and its float twin in turns, at one thread count, on an input of ``input_shape`` (N, C, H, W)."""

    threads: Annotated[int, Field(ge=1)]
    input_shape: list[Count]
    warm_up: Count
    artifact: Samples
    twin: Samples | None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def speedup(self) -> float | None:
        """How many times as long the float twin takes, by medians; ``None`` without a twin."""
        return None if self.twin is None else _ratio(self.twin.median_ms, self.artifact.median_ms)

    @property
    def waiting(self) -> float | None:
        """Share of the time in which the artifact's runs had no processor; known at one thread alone."""
        if self.threads != 1 or not self.artifact.samples_cpu_ms:
            return None
        used = sum(self.artifact.samples_cpu_ms) / max(sum(self.artifact.samples_ms), 1e-9)
        return min(1.0, max(0.0, 1.0 - used))

    @property
    def doubts(self) -> list[str]:
        """Why the times should not be quoted; empty on a quiet machine."""
        found = []
        if self.waiting is not None and self.waiting > MAX_WAITING:
            found.append(f"other programs had the processor for {100 * self.waiting:.0f} % of the time")
        if self.artifact.spread > MAX_SPREAD:
            found.append(f"the times spread by {100 * self.artifact.spread:.0f} % of their median")
        return found


class OpTime(_Part):
    """Time of one op by the runner's profile, one thread.

    ``kind`` is "bitsr" (an op of our kernels), "delegate" (another delegate's call) or "operator"; ``module`` is the
    network's module whose op it is, empty where that is not known.
    """

    name: str
    kind: str
    ms: NonNegative
    module: str = ""


class Failure(_Part):
    """One reason for a failed verdict; ``reproduce`` is a command."""

    tier: Literal["op", "picture", "step", "ground truth", "run"]
    message: str
    seed: int
    reproduce: str


class DeviceFacts(_Part):
    machine: str
    system: str
    processor: str
    isa: list[str]
    kernel: str
    build: str
    versions: dict[str, str]
    notes: dict[str, str]


class Run(_Part):
    """One artifact on one target. ``emulated`` says that the run proves parity only and has no times."""

    artifact: str
    target: str
    emulated: bool
    device: DeviceFacts
    failures: list[Failure]
    ops: list[OpResult]
    pictures: list[PictureResult]
    steps: list[StepResult] = []
    first_divergence: FirstDivergence | None
    layers: list[LayerError]
    latency: list[Latency]
    profile: list[OpTime]
    notes: list[str]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def verdict(self) -> Verdict:
        """ "ops pass" where the ops alone were compared: no picture and no step went through the whole artifact."""
        if self.failures:
            return "fail"
        return "pass" if self.pictures or self.steps else "ops pass"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool:
        """Whether nothing that was compared failed."""
        return not self.failures


class Results(_Part):
    """The whole file; ``load_average`` is this machine's over the minute before."""

    format: Literal["bitsr-validation"] = FORMAT
    version: Literal[3] = VERSION
    date: str
    command: str
    seed: int
    images: str
    limits: dict[str, Finite]
    versions: dict[str, str]
    load_average: NonNegative
    artifacts: list[Artifact]
    runs: list[Run]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool:
        """Whether every run passed."""
        return all(run.passed for run in self.runs)


def write_results(path: Path, results: Results) -> None:
    """Write the file completely or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(results.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_results(path: Path) -> Results:
    """Read and check the file.

    Raises:
        ResultsError: it is missing, broken, or of a newer version.
    """
    try:
        data: Any = _without_computed(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise ResultsError(f"cannot read {path}: {error}; write it again with `bitsr validate`") from error
    found = data.get("format") if isinstance(data, dict) else None
    if not isinstance(data, dict) or found != FORMAT:
        raise ResultsError(f"{path} is no file of results: expected format '{FORMAT}', got {found!r}")
    version = data.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ResultsError(f"{path} has version {version}, this bitsr reads {VERSION}; update bitsr")
    try:
        return Results.model_validate_json(json.dumps(data))
    except (ValidationError, ValueError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        place = ".".join(str(part) for part in first["loc"]) or "content"
        raise ResultsError(f"{path} is not valid: {place}: {first['msg']}; write it with `bitsr validate`") from error


_COMPUTED = frozenset(name for part in (Latency, Run, Results) for name in part.model_computed_fields)


def _without_computed(data: Any) -> Any:
    """Verdicts and ratios are written for other readers, and computed again where the file is read."""
    if isinstance(data, dict):
        return {name: _without_computed(value) for name, value in data.items() if name not in _COMPUTED}
    return [_without_computed(value) for value in data] if isinstance(data, list) else data
