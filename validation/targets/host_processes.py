"""Fresh processes for the host runner without starting Python for each.

One process imports the runtimes and loads nothing; every request is answered by a child that it forks. A child's load
is cold (no network, no thread pool, no kernel was there before), and takes milliseconds instead of an import's seconds.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from bitsr.common.errors import BitsrError
from bitsr.validation.errors import TargetError
from bitsr.validation.targets.runner_protocol import RUN_SECONDS

_SOURCE = "the host runner"
_START_SECONDS = 300.0


class HostProcesses:
    """The process that forks; started at the first request."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def execute(self, arguments: Sequence[str], *, timeout: float = RUN_SECONDS) -> str:
        """Run the host runner with these arguments in a child of its own; the JSON.

        Raises:
            TargetError: it fails, or does not answer in time.
        """
        process = self._process or self._start()
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # if it has ended, the answer that is missing says so
            process.stdin.write(json.dumps(list(arguments)) + "\n")
            process.stdin.flush()
        answer = self._answer(process, timeout)
        if "error" in answer:
            raise TargetError(f"{_SOURCE} failed: {answer['error']}")
        return str(answer["json"])

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def _start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "bitsr.validation.targets.host_runner", "--serve"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer(self._process, _START_SECONDS)
        return self._process

    def _answer(self, process: "subprocess.Popen[str]", timeout: float) -> dict[str, Any]:
        """The next line, which the process writes as a whole."""
        assert process.stdout is not None
        line = process.stdout.readline() if select.select([process.stdout], [], [], timeout)[0] else None
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        process.kill()
        self.close()
        what = f"did not answer within {timeout:g} s" if line is None else "ended"
        raise TargetError(f"{_SOURCE} {what}; end other programs and run it again, --debug shows more")


def serve(execute: Callable[[list[str]], str]) -> None:
    """Answer the requests of a :class:`HostProcesses` until its end of the pipe closes."""
    # The runtimes write to standard output, which is ours for the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(_forked(execute, json.loads(line))), file=answers, flush=True)


def _forked(execute: Callable[[list[str]], str], arguments: list[str]) -> dict[str, str]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with os.fdopen(writer, "w") as out:
            json.dump(_result(execute, arguments), out)
        os._exit(0)  # without what the runtimes do at exit
    os.close(writer)
    with os.fdopen(reader) as source:
        text = source.read()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        return {"error": f"its process ended with {code}"}
    answer: dict[str, str] = json.loads(text)
    return answer


def _result(execute: Callable[[list[str]], str], arguments: list[str]) -> dict[str, str]:
    try:
        return {"json": execute(arguments)}
    except BitsrError as error:
        return {"error": str(error)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
