"""One export of a tiny network, a wrong copy of it, and pictures."""

import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

from bitsr.artifact.artifact import read_artifact
from bitsr.artifact.formats import FORMATS
from bitsr.artifact.info import ArtifactFacts
from bitsr.artifact.program import HEADER_BYTES, MAGIC, OpKind, Program, read_program, write_program
from bitsr.export.deploy import deploy_form
from bitsr.export.export import export_model
from bitsr.training.weights import load_model

MODEL = "test_ebsr_plus_x2"


def program_at(content: bytes) -> tuple[int, bytes]:
    """Place and bytes of the first program blob in a file."""
    start = content.index(MAGIC)
    (size,) = struct.unpack_from("<I", content, start + 8)
    return start, content[start : start + size]


def with_program(source: Path, target: Path, change: Callable[[Program], None]) -> Path:
    """A copy of a .pte in the folder ``target`` whose first program is changed, with a matching sidecar."""
    content = source.read_bytes()
    start, blob = program_at(content)
    program = read_program(blob)
    change(program)
    changed = write_program(program)
    assert len(changed) == len(blob)
    content = content[:start] + changed + content[start + len(blob) :]
    target.mkdir(exist_ok=True)
    path = target / source.name
    return rewritten(source, path, content)


def rewritten(source: Path, path: Path, content: bytes, **changes: object) -> Path:
    """``content`` at ``path`` with the metadata of ``source``, but for ``changes``, all digests matching."""
    info = read_artifact(source)
    facts = {one.name: getattr(info, one.name) for one in fields(ArtifactFacts)}
    FORMATS[info.kind].write(content, path, ArtifactFacts(**{**facts, **changes}))
    return path


def resealed(blob: bytes) -> bytes:
    """The blob with the checksum of its present content."""
    changed = bytearray(blob)
    struct.pack_into("<I", changed, 12, zlib.crc32(bytes(changed[HEADER_BYTES:])))
    return bytes(changed)


@pytest.fixture(scope="session")
def network(weights: Path) -> nn.Module:
    """Its deploy form."""
    return deploy_form(load_model(weights))


@pytest.fixture(scope="session")
def exported(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its .pte, with the sidecar beside it."""
    if find_spec("executorch") is None:
        pytest.skip("needs bitsr[executorch]")
    folder = tmp_path_factory.mktemp("export")
    export_model(MODEL, weights=weights, output=folder, max_pixels=64 * 64)
    return folder / f"{MODEL}.pte"


@pytest.fixture(scope="session")
def faulty(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The .pte with one weight bit of its second binary layer inverted."""

    def flip(program: Program) -> None:
        layers = [op for op in program.ops if op.kind is OpKind.BINARY_CONV2D]
        bits = layers[1].constants[1]
        assert bits is not None
        changed = bits.copy()
        changed[0, 3, 1, 2, 0] ^= np.uint64(1 << 5)  # output channel 3, tap (1, 2), input channel 5
        index = program.ops.index(layers[1])
        constants = tuple(changed if place == 1 else c for place, c in enumerate(layers[1].constants))
        program.ops[index] = type(layers[1])(
            layers[1].kind, layers[1].inputs, layers[1].outputs, constants, layers[1].attributes
        )

    return with_program(exported, tmp_path_factory.mktemp("faulty"), flip)


@pytest.fixture(scope="session")
def images(photo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small originals, cut from a photo."""
    folder = tmp_path_factory.mktemp("images")
    with Image.open(photo) as picture:
        for name, (left, top) in {"eye.png": (120, 60), "ear.png": (60, 10)}.items():
            picture.convert("RGB").crop((left, top, left + 75, top + 66)).save(folder / name)
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser that draws the report."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (path := shutil.which(name)) is not None:
            return path
    pytest.skip("needs a Chromium: apt-get install chromium")
