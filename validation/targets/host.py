"""This machine's Python runtimes, ExecuTorch's and LiteRT's."""

import platform
from collections.abc import Sequence

from bitsr.common.errors import BitsrError, UsageError
from bitsr.runtime.machine import processor
from bitsr.validation.errors import TargetError
from bitsr.validation.targets.base import Device
from bitsr.validation.targets.host_processes import HostProcesses
from bitsr.validation.targets.runner_protocol import RunnerOutput, parse_output
from bitsr.validation.targets.this_machine import ThisMachine


class HostTarget(ThisMachine):
    """See :class:`bitsr.validation.targets.base.Target`; the runner is :mod:`bitsr.validation.targets.host_runner`."""

    def __init__(self) -> None:
        from bitsr.validation.targets.host_runner import HostRunner

        super().__init__("host", emulated=False, can_dump_layers=False)
        self._runner = HostRunner()
        self._processes = HostProcesses()

    def describe(self) -> Device:
        return Device(platform.machine(), f"{platform.system()}, Python {platform.python_version()}", processor())

    def run(self, arguments: Sequence[str], *, fresh: bool = False) -> RunnerOutput:
        try:
            text = self._processes.execute(arguments) if fresh else self._runner.execute(arguments)
        except (TargetError, UsageError):
            raise
        except BitsrError as error:  # of the runtimes, which do not know of targets
            raise TargetError(f"the host runner failed: {error}") from error
        return parse_output(text, source="the host runner")

    def close(self) -> None:
        self._processes.close()
        super().close()
