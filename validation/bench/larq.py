"""Larq Compute Engine in another Python: its pinned packages and ours do not fit together."""

import os
import select
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from bitsr.common.errors import BitsrError, UsageError

RUNTIME, KERNEL = "Larq Compute Engine", "indirect BGEMM"
# What its worker builds.
CASES = ("layer", "network")
_REMEDY = (
    "create an environment with `pip install larq larq-compute-engine tensorflow-cpu==2.15.1 'numpy<2'` on Python 3.11 "
    "and name its python by --larq-python, or leave it out"
)
# What nothing that works comes near: to build and convert its network, and to run it once.
START_SECONDS, RUN_SECONDS = 300.0, 60.0
_WORKER = Path(__file__).with_name("larq_worker.py")


class LarqError(BitsrError):
    """Larq Compute Engine does not run in the named Python."""


def check(python: Path) -> None:
    """Refuse a Python that has not what a :class:`Larq` needs, before minutes are spent on the other candidates.

    Raises:
        UsageError: it can not be executed, or a package is missing.
    """
    names = ("larq", "larq_compute_engine", "tensorflow")
    find = f"import importlib.util as u; print(*(n for n in {names} if u.find_spec(n) is None))"
    try:
        done = subprocess.run([str(python), "-c", find], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{python} can not be executed ({error}); {_REMEDY}") from error
    if done.returncode != 0 or done.stdout.strip():
        missing = ", ".join(done.stdout.split()) or "a Python that answers"
        raise UsageError(f"{python} lacks {missing}; {_REMEDY}")


class Larq:
    """One network in a process of its own; a call takes the round trip of a line through a pipe with it.

    ``case`` is one of :data:`CASES`. Use it as a context: leaving ends the process. ``processor`` has the milliseconds
    of processor time of each call.
    """

    def __init__(self, python: Path, *, case: str, threads: int) -> None:
        """Start the process and wait until its network is ready.

        Raises:
            LarqError: its packages fail, or it does not answer in time.
        """
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        self._command = [str(python), str(_WORKER), case, str(threads)]
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            # What we set for our TensorFlow and our Python is not for theirs.
            env={key: value for key, value in os.environ.items() if not key.startswith(("TF_", "PYTHON"))},
        )
        self._python = python
        self.processor: list[float] = []
        try:
            self.version = self._answer("ready", within=START_SECONDS).removeprefix("ready").strip()
        except BaseException:  # Ctrl-C as well: the process does not outlive us
            self.__exit__(None, None, None)
            raise

    def __call__(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # if it has ended, the answer that is missing says so
            self._process.stdin.write("run\n")
            self._process.stdin.flush()
        self.processor.append(float(self._answer("done", within=RUN_SECONDS).removeprefix("done")))

    def _answer(self, wanted: str, *, within: float) -> str:
        """The next line, which the process writes as a whole.

        Waiting by the clock of the system, and not in a thread, keeps the time of a call what it is.
        """
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], within)[0]:
            self._process.kill()
            raise LarqError(
                f"`{' '.join(self._command)}` did not answer within {within:g} s and was killed; end other programs "
                "and try again with fewer threads (--threads), or leave out --larq-python"
            )
        line = self._process.stdout.readline()
        if line.startswith(wanted):
            return line
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        raise LarqError(
            f"Larq Compute Engine failed in {self._python} ({said[-1] if said else 'it said nothing'}); {_REMEDY}"
        )

    def __enter__(self) -> "Larq":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()
