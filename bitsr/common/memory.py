"""How much memory this process may still take."""

import os
from pathlib import Path

_CONTROL_GROUP = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Bytes that can be taken without swapping: what the system has left, or the control group if that is less."""
    return min(_system(), _control_group())


def _system() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux: the physical memory is the best that is known
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _control_group() -> int:
    try:
        limit = (_CONTROL_GROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((_CONTROL_GROUP / "memory.current").read_text(encoding="ascii"))
        statistics = dict(line.split() for line in (_CONTROL_GROUP / "memory.stat").read_text("ascii").splitlines())
    except OSError:
        return 2**63 - 1  # no control group limits this process
    if limit == "max":
        return 2**63 - 1
    cache = int(statistics["inactive_file"]) + int(statistics["active_file"])  # given back when memory is short
    return max(0, int(limit) - used + cache)
