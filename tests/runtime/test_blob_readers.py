"""The C++ loader and the Python reader accept exactly the same blobs."""

import random
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitsr.artifact.program import HEADER_BYTES, Op, OpKind, Program, ProgramError, Value, ValueKind, read_program
from bitsr.artifact.program import write_program as write

SEED = 20
MUTANTS = 6000
# Words that hostile or damaged tables may hold.
WORDS = (0, 1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 128, 4096, 4097, 0x10000, 0x10001, 0x20000, 0x7FFFFFFF, 0xFFFFFFFF)


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def example() -> Program:
    """Every op, with and without its optional parts; small, so that most bytes are structure."""
    program = Program()

    def value(kind: ValueKind, channels: int, up: int = 1) -> int:
        return program.add_value(Value(kind, channels, up))

    x, skip = value(ValueKind.MAP, 4), value(ValueKind.MAP, 1)
    linear, sigmoid = value(ValueKind.VECTOR, 4), value(ValueKind.VECTOR, 4)
    plane, integers, quantized, y, total, large = (
        value(ValueKind.PLANE, 1),
        value(ValueKind.PLANE, 1),
        value(ValueKind.MAP, 2),
        value(ValueKind.MAP, 4),
        value(ValueKind.MAP, 4),
        value(ValueKind.MAP, 1, 2),
    )
    normed, gain, rescaled = (value(ValueKind.MAP, 4) for _ in range(3))
    bits = np.full((1, 4, 1, 1, 1), 5, np.uint64)
    program.inputs, program.outputs = [x, skip], [large, total]
    program.ops = [
        Op(OpKind.CHANNEL_GATE, (x,), (linear, sigmoid), (floats(1, 4), floats(1), floats(8, 1), floats(8)), (1, 8, 4)),
        Op(OpKind.SPATIAL_GATE, (x,), (plane,), (floats(1, 1, 4), floats(1)), (1,)),
        Op(
            OpKind.QUANTIZED_SPATIAL_GATE,
            (x,),
            (integers,),
            (np.full((1, 1, 4), 3, np.int8), floats(1), floats(1), floats(1)),
            (1, 8, 7),
        ),
        Op(
            OpKind.QUANTIZED_CONV2D,
            (x,),
            (quantized,),
            (np.full((2, 3, 3, 4), -128, np.int8), floats(4), floats(2), floats(16, 2), floats(2)),
            (2, 3, 16, 32768, 32767),
        ),
        Op(
            OpKind.BINARY_CONV2D,
            (x, linear, sigmoid, plane, x),
            (y,),
            (None, bits, floats(1, 4), floats(4), None, None, floats(4)),
            (4, 1, 1),
        ),
        Op(OpKind.CHANNEL_NORM, (y,), (normed,), (floats(4), floats(4), np.full(1, 1e-5, np.float32)), ()),
        Op(OpKind.PIXEL_GATE, (normed,), (gain,), (floats(4, 4), floats(4)), (4,)),
        Op(OpKind.RESCALE, (x, sigmoid, plane, gain, y), (rescaled,), (floats(4),), ()),
        Op(OpKind.ADD, (y, x), (total,)),
        Op(OpKind.PIXEL_SHUFFLE, (total, skip), (large,), (), (2,)),
    ]
    return program


def of_wide_weights() -> Program:
    """The same with weights of 16 bits."""
    program = example()
    place = next(i for i, op in enumerate(program.ops) if op.kind is OpKind.QUANTIZED_CONV2D)
    op = program.ops[place]
    program.ops[place] = replace(op, constants=(np.full((2, 3, 3, 4), -300, np.int16), *op.constants[1:]))
    return program


def of_version_2() -> Program:
    """The same with an input and an output in 8 bits beside them."""
    program = of_wide_weights()
    for end in (program.inputs[1], program.outputs[0]):
        program.values[end] = replace(program.values[end], kind=ValueKind.PIXELS)
    return program


def wide_weights_in_version_1() -> bytes:
    blob = bytearray(write(of_wide_weights()))
    struct.pack_into("<I", blob, 4, 1)
    return bytes(blob)


def limit_of_sums(last: int) -> bytes:
    """A quantized convolution whose sums reach 2^15 (516 * 127 + |last|): 2^31 is too much."""
    program = Program()
    x, y = program.add_value(Value(ValueKind.MAP, 517)), program.add_value(Value(ValueKind.MAP, 1))
    weight = np.full((1, 1, 1, 517), 127, np.int8)
    program.inputs, program.outputs = [x], [y]
    constants = (weight, floats(517), floats(1), floats(1, 1), None)
    program.ops = [Op(OpKind.QUANTIZED_CONV2D, (x,), (y,), constants, (1, 1, 1, 32768, 0))]
    weight[..., -1] = 0  # the writer refuses what the readers are to be asked about
    blob = bytearray(write(program))
    blob[blob.index(weight.tobytes()) + 516] = last & 0xFF
    return bytes(blob)


def sealed(blob: bytearray) -> bytes:
    """With the right length and checksum, so that they mask nothing."""
    if len(blob) >= HEADER_BYTES:
        struct.pack_into("<I", blob, 8, len(blob))
        struct.pack_into("<I", blob, 12, zlib.crc32(blob[HEADER_BYTES:]))
    return bytes(blob)


def mutants(blob: bytes) -> list[bytes]:
    rng = random.Random(SEED)
    made = [blob]
    # Every byte once, then words in places, cuts and growth.
    for at in range(len(blob)):
        changed = bytearray(blob)
        changed[at] ^= rng.randrange(1, 256)
        made += [bytes(changed), sealed(bytearray(changed))]
    tables = range(16, len(blob) - 3, 4)
    while len(made) < MUTANTS:
        changed = bytearray(blob)
        for _ in range(rng.choice((1, 1, 1, 2))):
            struct.pack_into("<I", changed, rng.choice(tables), rng.choice((*WORDS, len(blob))))
        if rng.random() < 0.1:
            changed = changed[: rng.randrange(len(changed))]
        if rng.random() < 0.05:
            changed += bytes(rng.choice((1, 4, 64)))
        made.append(sealed(changed))
    return made


def python_accepts(blob: bytes) -> bool:
    try:
        read_program(blob)
    except ProgramError:
        return False
    return True


@pytest.fixture(scope="module")
def checker(native: Any) -> Path:
    native.need("cmake", "ninja", "c++")
    return Path(native.build_core("core-tests", "-DCMAKE_BUILD_TYPE=Release") / "bitsr_blob_check")


def test_both_readers_accept_the_same_blobs(checker: Path) -> None:
    blobs = mutants(write(example())) + mutants(write(of_version_2()))
    blobs += [sealed(bytearray(limit_of_sums(last))) for last in (3, 4, -3, -4)]
    blobs.append(wide_weights_in_version_1())
    stream = b"".join(struct.pack("<I", len(blob)) + blob for blob in blobs)
    done = subprocess.run([str(checker)], input=stream, capture_output=True, check=True)
    ours = [letter == ord("1") for letter in done.stdout]
    python = [python_accepts(blob) for blob in blobs]
    assert len(ours) == len(blobs)
    assert all(one[place] for one in (ours, python) for place in (0, MUTANTS))
    parted = [i for i, (a, b) in enumerate(zip(ours, python, strict=True)) if a != b]
    assert not parted, (
        f"seed {SEED}: C++ says {ours[parted[0]]}, Python {python[parted[0]]} of {blobs[parted[0]].hex()}"
    )
    assert python[-5:] == [True, False, True, False, False]
    assert sum(python) > 50, "the mutants must contain blobs that are still good"
