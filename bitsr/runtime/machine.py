"""The processor of this machine, and which of our kernels run on it."""

import platform
from pathlib import Path


def processor() -> str:
    """The processor's name as the system gives it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


# By the names of :func:`instruction_sets`.
_KERNELS = {"AVX2": "avx2", "AVX-512 VPOPCNTDQ": "avx512", "NEON": "neon"}


def fast_kernels() -> list[str]:
    """Our kernels for this processor's extensions, the fastest last; "portable" runs everywhere."""
    return [_KERNELS[name] for name in instruction_sets()]


def instruction_sets() -> list[str]:
    """Extensions of the processor that the kernels choose by."""
    flags = set((_cpuinfo("flags") or _cpuinfo("Features") or "").split())
    known = {"avx2": "AVX2", "avx512_vpopcntdq": "AVX-512 VPOPCNTDQ", "asimd": "NEON"}
    return [name for flag, name in known.items() if flag in flags]


def _cpuinfo(key: str) -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next(
        (value.strip() for name, _, value in (line.partition(":") for line in lines) if name.strip() == key), None
    )
