"""The laws of ARCHITECTURE.md about who may import whom."""

import ast
from pathlib import Path

import pytest

# A room may import itself and the rooms to its left; `runtime` is the loader of the native libraries.
ORDER = ["common", "runtime", "artifact", "training", "export", "inference", "validation", "cli"]
FORBIDDEN = {"training": {"runtime"}}
# Rooms that are folders of the top level; the others lie in `bitsr`.
TOP_LEVEL = {"training", "export", "validation"}
HEAVY = {"executorch", "tensorflow", "onnx", "onnx2tf", "ai_edge_litert"}


def _folder(repository: Path, room: str) -> Path:
    return repository / room if room in TOP_LEVEL else repository / "bitsr" / room


def _imports(path: Path) -> list[tuple[str, bool]]:
    """Names of imported modules, and whether the import stands at the top of the file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(tree.body)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "bitsr":
                found += [(f"bitsr.{alias.name}", node in top) for alias in node.names]
            found.append((node.module, node in top))
    return found


@pytest.mark.parametrize("room", ORDER)
def test_imports_go_one_way(repository: Path, room: str) -> None:
    allowed = set(ORDER[: ORDER.index(room) + 1]) - FORBIDDEN.get(room, set())
    files = sorted(_folder(repository, room).rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(repository)} imports {name}"
        for path in files
        for name, _ in _imports(path)
        if name.startswith("bitsr.") and name.split(".")[1] not in allowed
    ]
    assert not wrong


@pytest.mark.parametrize("room", ["common", "training", "inference", "validation", "cli"])
def test_heavy_stacks_are_imported_where_they_are_used(repository: Path, room: str) -> None:
    wrong = [
        f"{path.relative_to(repository)} imports {name} at the top"
        for path in sorted(_folder(repository, room).rglob("*.py"))
        for name, at_top in _imports(path)
        if at_top and name.split(".")[0] in HEAVY
    ]
    assert not wrong


def test_the_core_includes_no_framework(repository: Path) -> None:
    freestanding = {"cmath", "cstdarg", "cstddef", "cstdint", "cstdio", "cstdlib", "cstring", "new"}
    allowed = freestanding | {"arm_neon.h", "cpuid.h", "immintrin.h", "sys/auxv.h", "wasm_simd128.h"}
    wrong = []
    for path in sorted((repository / "runtime" / "core").rglob("*")):
        if path.suffix not in (".h", ".cpp", ".inc"):
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("#include <") and line.split("<")[1].rstrip(">") not in allowed:
                wrong.append(f"{path.name}: {line}")
            if line.startswith('#include "') and (".." in line or "/" in line.replace("bitsr/", "")):
                wrong.append(f"{path.name}: {line}")
    assert not wrong
