"""Sidecars: what they say, and that a wrong one is refused with one clear line."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bitsr.artifact.info import (
    ArtifactInfo,
    SizeRules,
    parse_info,
    read_artifact,
    sidecar_path,
    write_artifact,
)
from bitsr.common.errors import ArtifactError, BitsrError
from bitsr.export.loading import weights_digest

FACTS: dict[str, Any] = {
    "kind": "pte",
    "model": "toy_x2",
    "scale": 2,
    "in_channels": 3,
    "out_channels": 3,
    "sizes": SizeRules(min_side=1, max_pixels=4096, multiple=1),
    "receptive_field_radius": 4,
    "global_pooling": True,
    "recipe": "model: toy_x2\n",
    "figures": {"Set5": {"psnr": 31.0}},
    "weights_sha256": "0" * 64,
    "blob_version": 1,
    "versions": {"torch": "2.13.0"},
}


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    path = tmp_path / "toy.pte"
    write_artifact(path, b"content", **FACTS)
    return path


def edit(artifact: Path, **changes: Any) -> None:
    """Change fields of the sidecar; ``None`` removes one."""
    data = {**json.loads(sidecar_path(artifact).read_text()), **changes}
    sidecar_path(artifact).write_text(json.dumps({key: value for key, value in data.items() if value is not None}))


def test_round_trip(artifact: Path) -> None:
    info = read_artifact(artifact)
    assert info == ArtifactInfo(
        **FACTS,
        artifact_bytes=7,
        artifact_sha256="ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73",
    )
    assert (info.value_range, info.channel_order, info.layout, info.dtype) == ((0.0, 1.0), "RGB", "NCHW", "float32")
    assert sorted(p.name for p in artifact.parent.iterdir()) == ["toy.json", "toy.pte"]


def test_missing_artifact_and_sidecar(artifact: Path) -> None:
    with pytest.raises(ArtifactError, match=r"there is no artefact .*other\.pte; write one with: bitsr export"):
        read_artifact(artifact.with_name("other.pte"))
    sidecar_path(artifact).unlink()
    with pytest.raises(ArtifactError, match=r"the sidecar .*toy\.json is missing; keep it beside the artefact"):
        read_artifact(artifact)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"conte", "truncated or of another export: expected 7 bytes, got 5"),
        (b"c0ntent", r"corrupt or does not belong to toy\.json: expected SHA-256 ed7002b439e9\.\.\., got"),
    ],
)
def test_artifact_that_changed(artifact: Path, content: bytes, message: str) -> None:
    artifact.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{message}.*; export the model again"):
        read_artifact(artifact)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "something"}, "is no bitsr sidecar: expected format 'bitsr-artifact', got 'something'"),
        ({"format_version": 2}, "has format_version 2, this bitsr reads 1; update bitsr"),
        ({"ops_version": 9}, "has ops_version 9, this bitsr reads 1; update bitsr"),
        ({"scale": None}, "scale: Field required"),
        ({"scale": "2"}, "scale: Input should be a valid integer, got '2'"),
        ({"scale": 0}, "scale: Input should be greater than or equal to 1, got 0"),
        ({"value_range": [0.0]}, r"value_range\.1: Field required"),
        ({"layout": "NHWC"}, "wrong layout in its sidecar: expected NCHW, got NHWC"),
        ({"layout": "CHWN"}, "layout: Input should be 'NCHW' or 'NHWC', got 'CHWN'"),
        ({"sizes": {"min_side": 1, "max_pixels": 4}}, r"sizes\.multiple: Field required"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
        ({"artifact_sha256": "xyz"}, "artifact_sha256: String should match pattern"),
    ],
    ids=str,
)
def test_wrong_sidecars(artifact: Path, changes: dict[str, Any], message: str) -> None:
    edit(artifact, **changes)
    with pytest.raises(ArtifactError, match=message) as error:
        read_artifact(artifact)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", '"text"', "\x00"])
def test_sidecars_that_are_no_json_object(artifact: Path, content: str) -> None:
    sidecar_path(artifact).write_text(content)
    with pytest.raises(ArtifactError, match=r"toy\.json"):
        read_artifact(artifact)


def test_sidecar_of_another_kind(artifact: Path) -> None:
    edit(artifact, kind="tflite")
    with pytest.raises(ArtifactError, match=r"has a sidecar of a \.tflite artefact"):
        read_artifact(artifact)


def test_every_sidecar_cut_short_is_refused(artifact: Path) -> None:
    text = sidecar_path(artifact).read_text().rstrip()
    for size in range(0, len(text), 13):
        sidecar_path(artifact).write_text(text[:size])
        with pytest.raises(ArtifactError):
            read_artifact(artifact)


def test_failed_write_keeps_the_old_artifact(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, content: bytes) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(BitsrError, match="disk full; make room"):
        write_artifact(artifact, b"new content", **FACTS)
    monkeypatch.undo()
    assert read_artifact(artifact).artifact_bytes == 7
    assert len(list(artifact.parent.iterdir())) == 2


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(BitsrError, match="cannot write"):
        write_artifact(tmp_path / "none" / "toy.pte", b"content", **FACTS)


def test_embedded_metadata_is_checked_the_same_way(artifact: Path) -> None:
    data = json.loads(sidecar_path(artifact).read_text())
    assert parse_info(data, source="toy.tflite") == read_artifact(artifact)
    with pytest.raises(ArtifactError, match=r"the sidecar toy\.tflite is not valid: model"):
        parse_info({**data, "model": 3}, source="toy.tflite")


@pytest.mark.parametrize(
    ("height", "width", "message"),
    [(3, 20, "sides of at least 4"), (101, 100, "at most 10000 in all; use tiles"), (10, 8, "multiples of 4; pad it")],
)
def test_size_rules(height: int, width: int, message: str) -> None:
    rules = SizeRules(min_side=4, max_pixels=10000, multiple=4)
    rules.check(height=4, width=2500)
    with pytest.raises(ArtifactError, match=f"the input is {width} x {height} pixels, .*{message}"):
        rules.check(height=height, width=width)


def test_digest_depends_on_names_shapes_types_and_values() -> None:
    state = {"a": torch.zeros(2, 3), "b": torch.ones(4)}
    digests = {
        weights_digest(other)
        for other in [
            state,
            {**state, "a": torch.zeros(3, 2)},
            {**state, "a": torch.zeros(2, 3, dtype=torch.int32)},
            {**state, "b": torch.ones(4) * 2},
            {"a": state["a"], "c": state["b"]},
        ]
    }
    assert len(digests) == 5
    assert weights_digest(dict(reversed(state.items()))) == weights_digest(state)
