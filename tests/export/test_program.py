"""The program blob: round trip, and that nothing in it is trusted."""

import dataclasses
import re
import struct
import zlib

import numpy as np
import pytest

from bitsr.artifact.program import (
    FIRST_VERSION,
    HEADER_BYTES,
    VERSION,
    Op,
    OpKind,
    Program,
    ProgramError,
    Value,
    ValueKind,
    read_program,
    with_pixel_ends,
    write_program,
)


def floats(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def example() -> Program:
    """Every op once: gates, a gated binary layer 70 -> 12, an addition, a shuffle by 2, an integer layer 70 -> 12."""
    program = Program()
    x = program.add_value(Value(ValueKind.MAP, 70))
    shift, gain = (program.add_value(Value(ValueKind.VECTOR, count)) for count in (70, 12))
    plane = program.add_value(Value(ValueKind.PLANE, 1))
    y, doubled = (program.add_value(Value(ValueKind.MAP, 12)) for _ in range(2))
    out = program.add_value(Value(ValueKind.MAP, 3, up=2))
    integers = program.add_value(Value(ValueKind.PLANE, 1))
    quantized = program.add_value(Value(ValueKind.MAP, 12))
    normed, gains, rescaled = (program.add_value(Value(ValueKind.MAP, count)) for count in (70, 12, 12))
    bits = np.arange(1 * 12 * 3 * 3 * 2, dtype=np.uint64).reshape(1, 12, 3, 3, 2)
    bits[..., 1] &= np.uint64(63)  # channels 64 to 69
    program.inputs, program.outputs = [x], [out]
    program.ops = [
        Op(
            OpKind.CHANNEL_GATE, (x,), (shift, gain), (floats(4, 70), floats(4), floats(82, 4), floats(82)), (4, 82, 70)
        ),
        Op(OpKind.SPATIAL_GATE, (x,), (plane,), (floats(3, 3, 70), floats(1)), (3,)),
        Op(
            OpKind.BINARY_CONV2D,
            (x, shift, gain, plane, None),
            (y,),
            (None, bits, floats(1, 12), floats(12), None, None, floats(12)),
            (12, 3, 1),
        ),
        Op(OpKind.ADD, (y, y), (doubled,)),
        Op(OpKind.PIXEL_SHUFFLE, (doubled, None), (out,), (), (2,)),
        Op(
            OpKind.QUANTIZED_SPATIAL_GATE,
            (x,),
            (integers,),
            (np.full((3, 3, 70), -7, np.int8), floats(1), floats(1), floats(1)),
            (3, 8, 7),
        ),
        Op(
            OpKind.QUANTIZED_CONV2D,
            (x,),
            (quantized,),
            (np.full((12, 3, 3, 70), 5, np.int8), floats(70), floats(12), floats(16, 12), None),
            (12, 3, 16, 2047, 2047),
        ),
        Op(OpKind.CHANNEL_NORM, (x,), (normed,), (floats(70), floats(70), np.full(1, 1e-5, np.float32)), ()),
        Op(OpKind.PIXEL_GATE, (normed,), (gains,), (floats(12, 70), floats(12)), (12,)),
        Op(OpKind.RESCALE, (y, gain, plane, gains, y), (rescaled,), (floats(12),), ()),
    ]
    return program


def resealed(blob: bytearray) -> bytes:
    """The blob with the checksum of its present content, so that the checks behind the checksum are reached."""
    struct.pack_into("<I", blob, 12, zlib.crc32(blob[HEADER_BYTES:]))
    return bytes(blob)


def test_round_trip() -> None:
    program = example()
    blob = write_program(program)
    again = read_program(blob)
    assert (again.values, again.inputs, again.outputs) == (program.values, program.inputs, program.outputs)
    for a, b in zip(program.ops, again.ops, strict=True):
        assert (a.kind, a.inputs, a.outputs, a.attributes) == (b.kind, b.inputs, b.outputs, b.attributes)
        for c, d in zip(a.constants, b.constants, strict=True):
            assert (c is None) == (d is None)
            assert c is None or (np.array_equal(c, d) and c.dtype == d.dtype)
    assert write_program(again) == blob


def test_layout_of_the_header() -> None:
    blob = write_program(example())
    magic, version, total, crc, values, ops, inputs, outputs, offset = struct.unpack_from("<4s8I", blob)
    assert (magic, version, total, crc) == (b"BSRP", FIRST_VERSION, len(blob), zlib.crc32(blob[64:]))
    assert (values, ops, inputs, outputs, offset) == (12, 10, 1, 1, 64)
    assert blob[48:64] == bytes(16)
    assert struct.unpack_from("<4I", blob, offset) == (0, 70, 1, 1)


def test_constants_are_aligned() -> None:
    blob = write_program(example())
    ops_offset = struct.unpack_from("<I", blob, 36)[0]
    # The first op: 5 counts, 1 input, 2 outputs, then the spans of its 4 constants.
    spans = struct.unpack_from("<8I", blob, ops_offset + 4 * 8)
    assert [offset % 64 for offset in spans[::2]] == [0, 0, 0, 0]
    assert spans[1::2] == (4 * 280, 16, 4 * 328, 4 * 82)


def test_every_truncation_is_refused() -> None:
    blob = write_program(example())
    for size in [*range(700), *range(700, len(blob), 97)]:
        with pytest.raises(ProgramError, match="truncated"):
            read_program(blob[:size])


def test_every_changed_byte_is_refused() -> None:
    blob = write_program(example())
    for position in [*range(64), *range(64, len(blob), 31)]:
        broken = bytearray(blob)
        broken[position] ^= 0x10
        with pytest.raises(ProgramError):
            read_program(bytes(broken))


@pytest.mark.parametrize(("version", "advice"), [(VERSION + 1, "update bitsr"), (0, "export the model again")])
def test_other_versions_are_named(version: int, advice: str) -> None:
    blob = bytearray(write_program(example()))
    struct.pack_into("<I", blob, 4, version)
    with pytest.raises(ProgramError, match=f"version {version}, this bitsr reads versions 1 to {VERSION}; {advice}"):
        read_program(bytes(blob))


def test_random_words_behind_a_right_checksum_never_crash() -> None:
    blob = write_program(example())
    words = np.random.default_rng(0)
    refused = 0
    for _ in range(2000):
        broken = bytearray(blob)
        position = int(words.integers(5, 160)) * 4  # counts, offsets, values, ops
        struct.pack_into("<I", broken, position, int(words.choice([0, 1, 7, 64, 65535, 2**31, 2**32 - 1])))
        try:
            read_program(resealed(broken))
        except ProgramError:
            refused += 1
    assert refused > 1000  # the other words are numbers of constants or were drawn as they are


def change(program: Program, index: int, **fields: object) -> Program:
    program.ops[index] = dataclasses.replace(program.ops[index], **fields)
    return program


BROKEN = {
    "no input": lambda p: dataclasses.replace(p, inputs=[]),
    "an output that nothing writes": lambda p: dataclasses.replace(p, ops=p.ops[:4]),
    "reads before it is written": lambda p: dataclasses.replace(p, ops=[p.ops[3], *p.ops[:3], p.ops[4]]),
    "written a second time": lambda p: dataclasses.replace(p, ops=[*p.ops, p.ops[-1]]),
    "two thresholds": lambda p: change(p, 2, constants=(floats(70), *p.ops[2].constants[1:])),
    "no threshold": lambda p: change(p, 2, inputs=(0, None, 2, 3, None)),
    "no scale": lambda p: change(p, 2, constants=(None, p.ops[2].constants[1], None, None, None, None, None)),
    "kernel 5": lambda p: change(p, 2, attributes=(12, 5, 1)),
    "a plane as a vector": lambda p: change(p, 2, inputs=(0, 1, 3, 3, None)),
    "a residual with other channels": lambda p: change(p, 2, inputs=(0, 1, 2, 3, 0)),
    "an addition of other channels": lambda p: change(p, 3, inputs=(4, 0)),
    "a shuffle by another factor": lambda p: change(p, 4, attributes=(4,)),
    "257 levels": lambda p: change(p, 5, attributes=(3, 128, 128)),
    "a gate without its bias": lambda p: change(p, 5, constants=(*p.ops[5].constants[:3], None)),
    "levels of 17 bits": lambda p: change(p, 6, attributes=(12, 3, 16, 0, 32768)),
    "no levels": lambda p: change(p, 6, attributes=(12, 3, 16, 0, 0)),
    "border classes of a 1x1 layer": lambda p: change(
        p,
        6,
        constants=(np.ones((12, 1, 1, 70), np.int8), floats(70), *p.ops[6].constants[2:]),
        attributes=(12, 1, 16, 8, 7),
    ),
    "sums beyond 32 bits": lambda p: change(
        p,
        6,
        constants=(np.full((12, 3, 3, 70), -128, np.int8), floats(70), *p.ops[6].constants[2:]),
        attributes=(12, 3, 16, 32768, 32767),
    ),
    "an integer layer without its bias": lambda p: change(p, 6, constants=(*p.ops[6].constants[:3], None, None)),
    "a norm without epsilon": lambda p: change(p, 7, constants=(*p.ops[7].constants[:2], np.zeros(1, np.float32))),
    "a norm of infinite epsilon": lambda p: change(
        p, 7, constants=(*p.ops[7].constants[:2], np.full(1, np.inf, np.float32))
    ),
    "an input as an output": lambda p: dataclasses.replace(p, outputs=[0]),
    "an output twice": lambda p: dataclasses.replace(p, outputs=[6, 6]),
    "weight bits beyond the channels": lambda p: change(
        p, 2, constants=(None, p.ops[2].constants[1] | np.uint64(1 << 6), *p.ops[2].constants[2:])
    ),
    "a missing argument": lambda p: change(p, 4, inputs=(5,)),
    "too many channels": lambda p: dataclasses.replace(p, values=[Value(ValueKind.MAP, 65537), *p.values[1:]]),
    "a scale of float64": lambda p: change(
        p, 2, constants=(*p.ops[2].constants[:2], p.ops[2].constants[2].astype(np.float64), *p.ops[2].constants[3:])
    ),
    "signed weight bits": lambda p: change(
        p, 2, constants=(None, p.ops[2].constants[1].view(np.int64), *p.ops[2].constants[2:])
    ),
    "an enlarged first input": lambda p: dataclasses.replace(p, values=[Value(ValueKind.MAP, 70, up=2), *p.values[1:]]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_inconsistent_programs_are_not_written(name: str) -> None:
    with pytest.raises(ProgramError, match="inconsistent"):
        write_program(BROKEN[name](example()))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a scale of float64", "op 2: constant 2 has the type float64, expected float32"),
        ("signed weight bits", "op 2: constant 1 has the type int64, expected uint64"),
        ("too many channels", "value 0 has 65537 channels, expected 1 to 65536"),
        ("no threshold", "op 2: no thresholds, expected exactly one"),
        ("two thresholds", "op 2: two thresholds, expected exactly one"),
        ("a shuffle by another factor", "op 4: 12 to 3 channels, expected 0.75"),
        ("sums beyond 32 bits", "op 6: sums up to 2642411520, expected below 2147483648"),
        ("a norm without epsilon", "op 7: epsilon 0, expected a positive number"),
        ("border classes of a 1x1 layer", "op 6: 16 border classes, expected 1, or 16 of a kernel of 3"),
    ],
)
def test_the_broken_rule_says_what_was_expected(name: str, message: str) -> None:
    with pytest.raises(ProgramError, match=f"inconsistent: {re.escape(message)}; export again"):
        write_program(BROKEN[name](example()))


def test_big_endian_constants_are_written_little_endian() -> None:
    program = example()
    swapped = tuple(None if c is None else c.astype(c.dtype.newbyteorder(">")) for c in program.ops[2].constants)
    assert write_program(change(example(), 2, constants=swapped)) == write_program(program)


def test_pixels_are_of_the_second_version() -> None:
    """Older readers, which know no such value, say that the program is newer than they are."""
    program = with_pixel_ends(example())
    blob = write_program(program)
    assert struct.unpack_from("<I", blob, 4) == (VERSION,)
    assert read_program(blob).values == program.values
    older = bytearray(blob)
    struct.pack_into("<I", older, 4, FIRST_VERSION)
    with pytest.raises(ProgramError, match="value 0 is of pixels"):
        read_program(bytes(older))


def test_levels_of_16_bits_are_of_the_second_version() -> None:
    program = example()
    place = next(place for place, op in enumerate(program.ops) if op.kind is OpKind.QUANTIZED_CONV2D)
    wide = (np.full((12, 3, 3, 70), -300, np.int16), *program.ops[place].constants[1:])
    program.ops[place] = dataclasses.replace(program.ops[place], constants=wide)
    blob = write_program(program)
    assert struct.unpack_from("<I", blob, 4) == (VERSION,)
    (again, *_) = read_program(blob).ops[place].constants
    assert again is not None
    assert again.dtype == np.int16
    assert np.array_equal(again, wide[0])
    older = bytearray(blob)
    struct.pack_into("<I", older, 4, FIRST_VERSION)
    with pytest.raises(ProgramError, match=f"op {place} has weights of 16 bits, which programs of version 1"):
        read_program(bytes(older))


def test_pixels_are_ends_alone() -> None:
    def of_pixels(value: int) -> Program:
        program = example()
        program.values[value] = dataclasses.replace(program.values[value], kind=ValueKind.PIXELS)
        return program

    write_program(of_pixels(0))
    with pytest.raises(ProgramError, match="reads the pixels 4 of an op"):
        write_program(of_pixels(4))
    with pytest.raises(ProgramError, match="no output"):
        write_program(of_pixels(8))
