"""Files of the runner: the index of dumped layers, replay cases, raw maps (``runtime/runner/README.md``).

They come from another program, maybe on another machine, and are checked before use.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitsr.common.installation import how_to_rebuild
from bitsr.validation.errors import TargetError

MAX_VALUES = 1 << 28  # of one raw map: 1 GiB
Map = NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """A dumped result: op kind, place ``PARTITION/OP/RESULT``, shape (N, C, H, W), file name."""

    index: int
    kind: str
    name: str
    shape: tuple[int, int, int, int]
    file: str


@dataclass(frozen=True)
class ReplayCase:
    """A one-op program, the size of its first input, the files of its inputs and outputs."""

    name: str
    program: str
    height: int
    width: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_layers(folder: Path) -> list[Layer]:
    """Read ``layers.tsv``; columns are found by the header's names.

    Raises:
        TargetError: the file is missing or broken, or a file in it lies outside of the folder.
    """
    path = folder / "layers.tsv"
    rows = [line.split("\t") for line in _lines(path)]
    wanted = ("index", "kind", "name", "shape", "file")
    if not rows or not set(wanted) <= set(rows[0]):
        raise TargetError(f"{path} has no header with {', '.join(wanted)}; {how_to_rebuild()}")
    places = {name: rows[0].index(name) for name in wanted}
    layers = []
    for number, row in enumerate(rows[1:], start=2):
        try:
            cells = {name: row[place] for name, place in places.items()}
            n, c, h, w = (int(part) for part in cells["shape"].split(","))
            layer = Layer(int(cells["index"]), cells["kind"], cells["name"], (n, c, h, w), cells["file"])
            if min(layer.shape) < 1 or n * c * h * w > MAX_VALUES or not _plain(layer.file):
                raise ValueError(f"shape {cells['shape']}, file {layer.file!r}")
        except (ValueError, IndexError) as error:
            raise TargetError(f"{path}, line {number}, is broken ({error}); run it again") from error
        layers.append(layer)
    return layers


def write_cases(folder: Path, cases: Iterable[ReplayCase]) -> None:
    """Write ``cases.tsv``."""
    lines = (
        "\t".join((c.name, c.program, str(c.height), str(c.width), ",".join(c.inputs), ",".join(c.outputs)))
        for c in cases
    )
    (folder / "cases.tsv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_cases(folder: Path) -> list[ReplayCase]:
    """Read ``cases.tsv``; errors as :func:`read_layers`."""
    path = folder / "cases.tsv"
    cases = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            name, program, height, width, inputs, outputs = line.split("\t")
            case = ReplayCase(
                name, program, int(height), int(width), tuple(inputs.split(",")), tuple(outputs.split(","))
            )
            if not all(map(_plain, (program, *case.inputs, *case.outputs))) or min(case.height, case.width) < 1:
                raise ValueError("a size below 1 or a name that is no plain file name")
        except ValueError as error:
            raise TargetError(f"{path}, line {number}, is broken ({error}); write it again") from error
        cases.append(case)
    return cases


def write_map(path: Path, values: Map) -> None:
    """Write raw little-endian float32 in C order."""
    path.write_bytes(np.ascontiguousarray(values, dtype="<f4").tobytes())


def write_integers(path: Path, values: NDArray[np.int64]) -> None:
    """Write raw little-endian int64 in C order."""
    path.write_bytes(np.ascontiguousarray(values, dtype="<i8").tobytes())


def read_integers(path: Path, count: int) -> NDArray[np.int64]:
    """Read raw int64 (count,); errors as :func:`read_map`."""
    raw = _raw(path, 8 * count, f"{count} values of int64")
    return np.frombuffer(raw, dtype="<i8").astype(np.int64)


def read_map(path: Path, shape: tuple[int, ...]) -> Map:
    """Read raw float32.

    Raises:
        TargetError: the file is missing or has another size than ``shape``.
    """
    raw = _raw(path, 4 * int(np.prod(shape, dtype=object)), str(shape))
    return np.frombuffer(raw, dtype="<f4").reshape(shape)


def _raw(path: Path, expected: int, what: str) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TargetError(f"cannot read {path.name}: {error.strerror or error}; the run did not write it") from error
    if len(raw) != expected:
        raise TargetError(f"{path.name} has {len(raw)} bytes, expected {expected} for {what}; run it again")
    return raw


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, UnicodeDecodeError) as error:
        raise TargetError(f"cannot read {path}: {error}; run it again") from error


def _plain(name: str) -> bool:
    return bool(name) and name not in (".", "..") and "/" not in name and "\0" not in name
