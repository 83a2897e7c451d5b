"""What `bitsr doctor` shows beside the packages: tools, processor, native libraries."""

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass

from bitsr.common.installation import how_to_install, how_to_rebuild
from bitsr.common.memory import available_memory
from bitsr.common.versions import package_version
from bitsr.runtime import EXECUTORCH_LIBRARY, TFLITE_LIBRARY, RuntimeLibraryError, find_library, isa_names
from bitsr.runtime.capi import CAPI_LIBRARY
from bitsr.runtime.machine import processor


@dataclass(frozen=True)
class Finding:
    """One line of the report; ``found`` is None where something is missing, ``remedy`` says how to get it."""

    name: str
    found: str | None
    purpose: str
    remedy: str = ""


@dataclass(frozen=True)
class Environment:
    """Findings by section."""

    sections: dict[str, list[Finding]]


_TOOLS = (
    ("g++", "building the native library", "apt-get install g++"),
    ("cmake", "building the native library", "pip install cmake"),
    ("ninja", "building the native library", "pip install ninja"),
    ("aarch64-linux-gnu-g++", "arm64 tests", "apt-get install g++-aarch64-linux-gnu libc6-dev-arm64-cross"),
    ("qemu-aarch64-static", "arm64 tests", "apt-get install qemu-user-static"),
    ("adb", "`bitsr validate --on adb:SERIAL`", "apt-get install adb"),
    ("java", "`bitsr validate --on unidbg`, the Android app", "apt-get install openjdk-17-jdk-headless maven"),
)


def inspect() -> Environment:
    """Look at everything; imports no heavy package."""
    tools = [Finding(name, _tool(name), purpose, remedy) for name, purpose, remedy in _TOOLS]
    machine = [
        Finding("bitsr", package_version("bitsr"), "", how_to_install(None)),
        Finding("python", platform.python_version(), ""),
        Finding("processor", processor(), ""),
        _instruction_sets(),
        Finding("threads", str(len(os.sched_getaffinity(0))), ""),
        Finding("free memory", f"{available_memory() / 2**30:.1f} GiB", ""),
    ]
    native = [
        _native_library(CAPI_LIBRARY, purpose="running what is made of our ops, without a framework"),
        _native_library(EXECUTORCH_LIBRARY, purpose="running a .pte in ExecuTorch"),
        _native_library(TFLITE_LIBRARY, purpose="running a .tflite in LiteRT"),
    ]
    return Environment({"native library": native, "tools": tools, "machine": machine})


def _instruction_sets() -> Finding:
    name, purpose = "instruction sets", "the kernels, the fastest first"
    try:
        return Finding(name, ", ".join(isa_names()), purpose)
    except RuntimeLibraryError:
        return Finding(name, None, purpose, how_to_rebuild())


def _native_library(name: str, *, purpose: str) -> Finding:
    try:
        return Finding(name, str(find_library(name)), purpose)
    except RuntimeLibraryError:
        return Finding(name, None, purpose, how_to_rebuild())


def _tool(name: str) -> str | None:
    path = shutil.which(name)
    if path is None:
        return None
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=10)
    return answer.stdout.splitlines()[0] if answer.stdout else path
