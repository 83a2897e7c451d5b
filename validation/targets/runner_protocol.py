"""The client of ``bitsr-run``: how it is asked, and the JSON that it answers (``runtime/runner/README.md``).

The answer comes from another program, maybe on another machine, and is checked before use.
"""

import json
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bitsr.common.installation import how_to_rebuild
from bitsr.validation.errors import TargetError

SCHEMA = 1
# What the runner is asked to run an artifact in, where it is not the core alone: the framework of its format.
FRAMEWORK = "framework"
Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Part(BaseModel):
    # Unknown keys are left to newer runners of the same schema.
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class RunnerDevice(_Part):
    """Where the runner ran; ``kernel`` is the one that was used."""

    machine: str
    processor: str = ""
    isa: list[str] = []
    kernel: str = ""
    threads: Annotated[int, Field(ge=1)] = 1


class RunnerBuild(_Part):
    type: str = ""
    compiler: str = ""


class ProfileEntry(_Part):
    """Time of one op; ``kind`` is "bitsr" (ours), "delegate" (another's, as a whole) or "operator"."""

    name: str
    kind: str
    ms: Milliseconds


class ModelRun(_Part):
    """What a run of one model says; times in milliseconds."""

    device: RunnerDevice
    build: RunnerBuild = RunnerBuild()
    versions: dict[str, str] = {}
    load_ms: Milliseconds | None = None
    first_ms: Milliseconds | None = None
    samples_ms: list[Milliseconds] = []
    samples_cpu_ms: list[Milliseconds] = []
    peak_rss_bytes: Annotated[int, Field(ge=0)] = 0
    output_shape: list[int] = []
    profile: list[ProfileEntry] = []


@dataclass(frozen=True)
class RunnerOutput:
    """One entry per model, none for a replay."""

    models: tuple[ModelRun, ...]


# Seconds after which a run is given up: a picture under an emulator takes minutes.
RUN_SECONDS = 1800.0


@dataclass(frozen=True)
class RunnerProcess:
    """A runner that is a program of this machine.

    Attributes:
        command: the program with what goes before its arguments, such as an emulator.
        source: what errors call it.
    """

    command: tuple[str, ...]
    source: str

    def run(self, arguments: Sequence[str], *, timeout: float = RUN_SECONDS) -> RunnerOutput:
        """Run it with ``--json -`` and parse what it says; ``timeout`` in seconds.

        Raises:
            TargetError: it does not start or end, or fails; the message has its last line.
        """
        command = [*self.command, *arguments, "--json", "-"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", check=False, timeout=timeout
            )
        except subprocess.TimeoutExpired as error:
            raise TargetError(
                f"{self.source} did not end within {timeout:g} s and was killed; end other programs and try it alone: "
                f"{shlex.join(command)}"
            ) from error
        except OSError as error:
            raise TargetError(f"{self.source} does not start ({error}); it may be built for another machine") from error
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise TargetError(
                f"{self.source} failed with exit code {done.returncode}: {lines[-1] if lines else 'without a message'}"
            )
        return parse_output(done.stdout, source=self.source)


def timing_arguments(
    models: Sequence[str], *, shape: Sequence[int], threads: int, warm_up: int = 0, runs: int
) -> list[str]:
    """Arguments that time ``models`` (paths, with ``@KERNEL`` where one is asked for) in turns on (N, C, H, W).

    They run in their frameworks: rivals do, and an artifact that is made of our ops is measured like all others.
    """
    words = [*models, "--shape", ",".join(map(str, shape)), "--threads", str(threads)]
    return [*words, "--warmup", str(warm_up), "--runs", str(runs), "--runtime", FRAMEWORK]


def timed_models(output: RunnerOutput, *, models: int, runs: int, source: str) -> tuple[ModelRun, ...]:
    """The answer to :func:`timing_arguments`, if it has ``runs`` samples of each of so many models.

    Raises:
        TargetError: it has not.
    """
    if len(output.models) != models or any(len(run.samples_ms) != runs for run in output.models):
        raise TargetError(f"{source} did not time every model {runs} times; {how_to_rebuild()}")
    return output.models


def parse_output(text: str, *, source: str) -> RunnerOutput:
    """Parse the runner's JSON.

    Raises:
        TargetError: it is no such JSON, or of another schema.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TargetError(f"{source} gave no JSON ({error}); {how_to_rebuild()}") from error
    found = data.get("schema") if isinstance(data, dict) else None
    if not isinstance(data, dict) or found != SCHEMA:
        raise TargetError(f"{source} gave schema {found!r}, expected {SCHEMA}; {how_to_rebuild()}")
    if "cases" in data:
        return RunnerOutput(())
    entries = data.get("models", [data])
    if not isinstance(entries, list):
        raise TargetError(f"{source} gave 'models' that is no list; {how_to_rebuild()}")
    return RunnerOutput(tuple(_model_run(entry, source) for entry in entries))


def _model_run(data: Any, source: str) -> ModelRun:
    try:
        return ModelRun.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise TargetError(
            f"{source} gave JSON that is not valid: {place}: {first['msg']}; {how_to_rebuild()}"
        ) from error
