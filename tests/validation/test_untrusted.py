"""Files from elsewhere, mutated: nothing but our errors comes out of their readers."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitsr.artifact.artifact import Artifact
from bitsr.artifact.info import parse_info
from bitsr.artifact.program import Op, OpKind, Program, Value, ValueKind, read_program, write_program
from bitsr.common.errors import BitsrError
from bitsr.validation.errors import ResultsError, TargetError
from bitsr.validation.results import read_results, write_results
from bitsr.validation.targets.adb import battery_celsius, parse_facts
from bitsr.validation.targets.runner_files import Layer, read_cases, read_layers, read_map
from bitsr.validation.targets.runner_protocol import parse_output

from .conftest import resealed
from .samples import outcome

QUICK = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

RUNNER_JSON = {
    "schema": 1,
    "model": {"path": "a.pte", "bytes": 10, "format": "pte"},
    "device": {"machine": "x86_64", "processor": "p", "isa": ["avx2"], "kernel": "avx2", "threads": 1, "cores": 2},
    "build": {"type": "Release", "compiler": "gcc", "bitsr": "0.1.0"},
    "versions": {"executorch": "1.5.1"},
    "load_ms": 1.5,
    "first_ms": 2.0,
    "samples_ms": [1.0, 2.0],
    "peak_rss_bytes": 1000,
    "input_shape": [1, 3, 8, 8],
    "output_shape": [1, 3, 16, 16],
    "profile": [{"name": "0/0 add", "kind": "bitsr", "ms": 0.5}],
}
SIDECAR_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8), st.just([]), st.just({})
)
LAYERS = "index\tkind\tname\tshape\tfile\n0\tbinary_conv2d\t0/0/0\t1,8,4,4\ta.f32\n1\tadd\t0/1/0\t1,8,4,4\tb.f32\n"
CASES = "a\t0.bsrp\t3\t4\tx.f32,y.f32\tz.out\n"


SIDECAR = {
    "format": "bitsr-artifact",
    "format_version": 2,
    "ops_version": 1,
    "blob_version": 1,
    "kind": "pte",
    "model": "net_x2",
    "scale": 2,
    "in_channels": 3,
    "out_channels": 3,
    "value_range": [0.0, 1.0],
    "channel_order": "RGB",
    "layout": "NCHW",
    "dtype": "float32",
    "figures": {"Set5": {"psnr": 37.0}},
    "sizes": {"min_side": 1, "max_pixels": 4096, "multiple": 1},
    "bytes_per_pixel": 100,
    "receptive_field_radius": 6,
    "global_pooling": True,
    "recipe": "",
    "training_steps": 10,
    "training_data": ["DIV2K"],
    "versions": {"bitsr": "0.1.0"},
    "weights_sha256": "a" * 64,
    "artifact_sha256": "b" * 64,
    "artifact_bytes": 1000,
}


def small_program() -> Program:
    """A spatial gate and a binary layer 6 -> 4 that it modulates, then a shuffle."""
    program = Program()
    x, plane = program.add_value(Value(ValueKind.MAP, 6)), program.add_value(Value(ValueKind.PLANE, 1))
    y, z = program.add_value(Value(ValueKind.MAP, 4)), program.add_value(Value(ValueKind.MAP, 1, up=2))
    program.inputs, program.outputs = [x], [z]
    bits = np.arange(4 * 9, dtype=np.uint64).reshape(1, 4, 3, 3, 1) % 64
    threshold, scale = np.zeros(6, np.float32), np.ones((1, 4), np.float32)
    gate = (np.ones((3, 3, 6), np.float32), np.zeros(1, np.float32))
    layer = (threshold, bits, scale, None, None, None, None)
    program.ops = [
        Op(OpKind.SPATIAL_GATE, (x,), (plane,), gate, (3,)),
        Op(OpKind.BINARY_CONV2D, (x, None, None, plane, None), (y,), layer, (4, 3, 1)),
        Op(OpKind.PIXEL_SHUFFLE, (y, None), (z,), (), (2,)),
    ]
    return program


def changed_bytes(data: st.DataObject, content: bytes) -> bytes:
    """A few bytes inverted, or the end cut off, or something inserted."""
    mutated = bytearray(content)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, max(0, len(mutated) - 1)))
        match data.draw(st.sampled_from(["flip", "set", "cut", "insert"])):
            case "flip":
                mutated[place : place + 1] = bytes(
                    b ^ data.draw(st.integers(1, 255)) for b in mutated[place : place + 1]
                )
            case "set":
                mutated[place : place + 4] = data.draw(st.sampled_from([bytes(4), b"\xff" * 4, b"\x00\x00\x00\x80"]))
            case "cut":
                del mutated[place:]
            case _:
                mutated[place:place] = data.draw(st.binary(max_size=12))
    return bytes(mutated)


def changed_json(data: st.DataObject, value: Any) -> Any:
    """One place of a JSON value replaced, removed or doubled."""
    copy = json.loads(json.dumps(value))
    node, places = copy, []
    while isinstance(node, (dict, list)) and node:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        places.append((node, key))
        node = node[key]
        if data.draw(st.booleans()):
            break
    parent, key = places[-1]
    match data.draw(st.sampled_from(["replace", "remove", "add"])):
        case "replace":
            parent[key] = data.draw(SIDECAR_VALUES)
        case "remove":
            del parent[key]
        case _ if isinstance(parent, dict):
            parent[data.draw(st.text(max_size=8))] = data.draw(SIDECAR_VALUES)
        case _:
            parent.append(data.draw(SIDECAR_VALUES))
    return copy


def only_ours(read: Callable[[], object]) -> None:
    with contextlib.suppress(BitsrError):
        read()


@QUICK
@given(st.data())
def test_program_blobs(data: st.DataObject) -> None:
    blob = write_program(small_program())
    # Behind a right checksum, so that the checks of the content are reached; and with a wrong one.
    changed = changed_bytes(data, blob)
    only_ours(lambda: read_program(changed))
    if len(changed) >= 64:
        changed = changed[:8] + len(changed).to_bytes(4, "little") + changed[12:]
        only_ours(lambda: read_program(resealed(changed)))


@QUICK
@given(st.data())
def test_sidecars(tmp_path: Path, data: st.DataObject) -> None:
    text = json.dumps(SIDECAR).encode()
    changed = changed_json(data, json.loads(text))
    only_ours(lambda: parse_info(json.dumps(changed), source="a sidecar"))
    path = tmp_path / "net.pte"
    path.write_bytes(b"content")
    path.with_suffix(".json").write_bytes(changed_bytes(data, text))
    only_ours(lambda: Artifact.open(path))


@QUICK
@given(st.data())
def test_results(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "results.json"
    write_results(path, outcome().results)
    content = path.read_bytes()
    path.write_text(json.dumps(changed_json(data, json.loads(content))), encoding="utf-8")
    only_ours(lambda: read_results(path))
    path.write_bytes(changed_bytes(data, content))
    only_ours(lambda: read_results(path))


@QUICK
@given(st.data())
def test_runner_json(data: st.DataObject) -> None:
    changed = json.dumps(changed_json(data, RUNNER_JSON))
    only_ours(lambda: parse_output(changed, source="runner"))
    raw = changed_bytes(data, json.dumps(RUNNER_JSON).encode()).decode("utf-8", "replace")
    only_ours(lambda: parse_output(raw, source="runner"))


@QUICK
@given(st.data())
def test_tables(tmp_path: Path, data: st.DataObject) -> None:
    for name, text, read in (("layers.tsv", LAYERS, read_layers), ("cases.tsv", CASES, read_cases)):
        (tmp_path / name).write_bytes(changed_bytes(data, text.encode()))
        only_ours(lambda read=read: read(tmp_path))


@QUICK
@given(st.text())
def test_device_facts(text: str) -> None:
    battery_celsius(parse_facts(text))


def test_the_unchanged_files_are_read(tmp_path: Path) -> None:
    assert len(read_program(write_program(small_program())).ops) == 3
    assert parse_info(json.dumps(SIDECAR), source="a sidecar").model == "net_x2"
    write_results(tmp_path / "results.json", outcome().results)
    assert read_results(tmp_path / "results.json") == outcome().results
    (run,) = parse_output(json.dumps(RUNNER_JSON), source="runner").models
    assert run.samples_ms == [1.0, 2.0]
    assert len(parse_output(json.dumps({"schema": 1, "models": [RUNNER_JSON] * 2}), source="runner").models) == 2
    (tmp_path / "layers.tsv").write_text(LAYERS)
    assert read_layers(tmp_path)[1] == Layer(1, "add", "0/1/0", (1, 8, 4, 4), "b.f32")
    (tmp_path / "cases.tsv").write_text(CASES)
    assert read_cases(tmp_path)[0].inputs == ("x.f32", "y.f32")


@pytest.mark.parametrize("name", ["../b.f32", "/etc/passwd", "..", "", "a\0b"])
def test_dumped_files_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "layers.tsv").write_text(LAYERS.replace("b.f32", name))
    with pytest.raises(TargetError, match="line 3"):
        read_layers(tmp_path)


def test_maps_of_another_size_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.f32").write_bytes(bytes(12))
    assert read_map(tmp_path / "a.f32", (1, 3)).shape == (1, 3)
    with pytest.raises(TargetError, match="12 bytes, expected 16"):
        read_map(tmp_path / "a.f32", (1, 4))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [("version", 4, "update bitsr"), ("version", 2, "version"), ("format", "x", "expected format")],
)
def test_other_versions_of_results_are_refused(tmp_path: Path, field: str, value: object, words: str) -> None:
    write_results(tmp_path / "r.json", outcome().results)
    data = json.loads((tmp_path / "r.json").read_text())
    (tmp_path / "r.json").write_text(json.dumps({**data, field: value}))
    with pytest.raises(ResultsError, match=words):
        read_results(tmp_path / "r.json")
