"""Under which conditions a measurement was made: what a reader needs to judge or repeat its figures."""

import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from bitsr.common.installation import top_folder
from bitsr.common.versions import package_version
from bitsr.runtime import isa_names
from bitsr.runtime.machine import processor


def conditions(library: Path, *, packages: tuple[str, ...]) -> dict[str, Any]:
    """Facts for JSON; ``library`` is the native library that was measured, ``packages`` those whose versions count.

    ``build_type`` and ``commit`` are null for a library or a package that is not of a checkout. ``load_average`` are
    the processes that were ready to run, over the last 1, 5 and 15 minutes; on an idle machine it is near the
    measurement's own threads.
    """
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": processor(),
        "system": platform.platform(),
        "instruction_sets": list(isa_names()),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "library": str(library),
        "build_type": build_type(library),
        "commit": commit(),
        "versions": {name: package_version(name) for name in dict.fromkeys(("bitsr", *packages))},
    }


def build_type(library: Path) -> str | None:
    """CMake's build type of a library in its build tree."""
    for folder in library.resolve().parents:
        cache = folder / "CMakeCache.txt"
        if cache.is_file():
            lines = cache.read_text(encoding="utf-8", errors="replace").splitlines()
            return next((line.partition("=")[2] for line in lines if line.startswith("CMAKE_BUILD_TYPE:")), None)
    return None


def commit() -> str | None:
    """The checkout's commit, with ``+changes`` where files of it differ."""
    root = top_folder()
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
        except OSError:
            return None  # git is not installed
        return done.stdout.strip() if done.returncode == 0 else None

    head = git("rev-parse", "HEAD")
    return f"{head}+changes" if head and git("status", "--porcelain", "--untracked-files=no") else head
