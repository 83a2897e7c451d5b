"""Sidecars: what they say, and that a wrong one is refused with one clear line."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bitsr.artifact.artifact import read_artifact
from bitsr.artifact.formats import FORMATS, sidecar_path
from bitsr.artifact.info import ArtifactFacts, ArtifactInfo, SizeRules, parse_info
from bitsr.common.errors import ArtifactError, BitsrError
from bitsr.export.loading import weights_digest

FACTS: dict[str, Any] = {
    "model": "toy_x2",
    "scale": 2,
    "in_channels": 3,
    "out_channels": 3,
    "sizes": SizeRules(min_side=1, max_pixels=4096, multiple=1),
    "bytes_per_pixel": 1024,
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
    FORMATS["pte"].write(b"content", path, ArtifactFacts(**FACTS))
    return path


def edit(artifact: Path, **changes: Any) -> None:
    """Change fields of the sidecar, ``None`` removes one, and seal it again as the exporter does."""
    data = {**json.loads(sidecar_path(artifact).read_text()), **changes}
    del data["metadata_sha256"]
    data["metadata_sha256"] = "0" * 64  # the last field, as it is written
    text = json.dumps({key: value for key, value in data.items() if value is not None})
    digest = hashlib.sha256(text.encode()).hexdigest()
    sidecar_path(artifact).write_text(text.removesuffix("0" * 64 + '"}') + digest + '"}')


def test_round_trip(artifact: Path) -> None:
    info = read_artifact(artifact)
    assert info == ArtifactInfo(
        **FACTS,
        kind="pte",
        layout="NCHW",
        metadata_sha256=info.metadata_sha256,
        artifact_bytes=7,
        artifact_sha256="ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73",
    )
    assert (info.value_range, info.channel_order, info.layout, info.dtype) == ((0.0, 1.0), "RGB", "NCHW", "float32")
    assert sorted(p.name for p in artifact.parent.iterdir()) == ["toy.json", "toy.pte"]


def test_missing_artifact_and_sidecar(artifact: Path) -> None:
    with pytest.raises(ArtifactError, match=r"there is no artifact .*other\.pte; write one with: bitsr export"):
        read_artifact(artifact.with_name("other.pte"))
    sidecar_path(artifact).unlink()
    with pytest.raises(ArtifactError, match=r"the sidecar .*toy\.json is missing; keep it beside the artifact"):
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
        ({"format": "something"}, "has no metadata of bitsr: expected format 'bitsr-artifact', got 'something'"),
        ({"format_version": 3}, "has format_version 3, this bitsr reads 2; update bitsr"),
        ({"format_version": 1}, "has format_version 1, this bitsr reads 2; export the model again"),
        ({"ops_version": 9}, "has ops_version 9, this bitsr reads 1; update bitsr"),
        ({"scale": None}, "not valid: scale is missing; export"),
        ({"scale": "2"}, "scale is '2', expected a whole number"),
        ({"scale": 0}, "scale is 0, expected a whole number from 1 to 16"),
        ({"value_range": [0.0]}, r"value_range is \[0\.0\], expected two numbers"),
        ({"value_range": [1.0, 0.5]}, r"value_range is \[1\.0, 0\.5\], expected the lower limit first"),
        ({"value_range": [0.0, 10**400]}, "expected a finite number"),
        ({"figures": {"Set5": {"psnr": "31"}}}, r"figures\.Set5\.psnr is '31', expected a number"),
        ({"figures": {"Set5": 31.0}}, r"figures\.Set5 is 31\.0, expected an object"),
        ({"global_pooling": 1}, "global_pooling is 1, expected true or false"),
        ({"training_data": "DIV2K"}, "training_data is 'DIV2K', expected a list"),
        ({"training_data": ["DIV2K", 3]}, r"training_data\.1 is 3, expected a text"),
        ({"sizes": 4}, "sizes is 4, expected an object"),
        ({"diffusion": {"timesteps": 10, "beta_start": 0.1, "beta_end": 1}}, r"beta_end is 1, expected a num"),
        ({"in_channels": True}, "in_channels is True, expected a whole number"),
        ({"layout": "NHWC"}, "of another artifact: expected pte in NCHW, got pte in NHWC"),
        ({"layout": "CHWN"}, "layout is 'CHWN', expected 'NCHW' or 'NHWC'"),
        ({"sizes": {"min_side": 1, "max_pixels": 4}}, r"sizes\.multiple is missing"),
        ({"surprise": 1}, "surprise is 1, but there is no such field"),
        ({"two\nlines": 1}, r"'two\\nlines' is 1, but there is no such field"),
        ({"artifact_sha256": "xyz"}, "artifact_sha256 is 'xyz', expected 64 hexadecimal digits"),
    ],
    ids=str,
)
def test_wrong_sidecars(artifact: Path, changes: dict[str, Any], message: str) -> None:
    edit(artifact, **changes)
    with pytest.raises(ArtifactError, match=message) as error:
        read_artifact(artifact)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", "null", '"text"', "\x00", "[" * 100_000, "9" * 5000], ids=lambda text: repr(text[:6])
)
def test_sidecars_that_are_no_json_object(artifact: Path, content: str) -> None:
    sidecar_path(artifact).write_text(content)
    with pytest.raises(ArtifactError, match=r"toy\.json"):
        read_artifact(artifact)


def test_sidecar_of_another_kind(artifact: Path) -> None:
    edit(artifact, kind="tflite")
    with pytest.raises(ArtifactError, match="expected pte in NCHW, got tflite in NCHW"):
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
        FORMATS["pte"].write(b"new content", artifact, ArtifactFacts(**FACTS))
    monkeypatch.undo()
    assert read_artifact(artifact).artifact_bytes == 7
    assert len(list(artifact.parent.iterdir())) == 2


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(BitsrError, match="cannot write"):
        FORMATS["pte"].write(b"content", tmp_path / "none" / "toy.pte", ArtifactFacts(**FACTS))


def test_embedded_metadata_is_checked_the_same_way(artifact: Path) -> None:
    data = json.loads(sidecar_path(artifact).read_text())
    assert parse_info(json.dumps(data), source="toy.tflite") == read_artifact(artifact)
    with pytest.raises(ArtifactError, match=r"the metadata in toy\.tflite are not valid: model is 3"):
        parse_info(json.dumps({**data, "model": 3}), source="toy.tflite")
    for wrong in (
        {"model": "\ud800"},
        {"format": "x" * 1000},
        {"format_version": 10**400},
        {"x" * 1000: 1},
        {"versions": {"x" * 1000: 1}},
    ):
        with pytest.raises(ArtifactError) as error:
            parse_info(json.dumps({**data, **wrong}), source="toy.tflite")
        assert len(str(error.value)) < 250  # a line that can be read, whatever the file holds


@pytest.mark.parametrize(
    ("old", "new"),
    [('"max_pixels": 4096', '"max_pixels": 9999'), ("0.0,", "0.5,"), ('"2.13.0"', '"2.14.0"'), ("31.0", "35.0")],
    ids=["pixel budget", "value range", "version", "figure"],
)
def test_a_changed_sidecar_is_refused(artifact: Path, old: str, new: str) -> None:
    """Every figure in it decides what runs or what is believed."""
    text = sidecar_path(artifact).read_text()
    assert old in text
    sidecar_path(artifact).write_text(text.replace(old, new, 1))
    with pytest.raises(ArtifactError, match=r"toy\.json was changed: expected SHA-256"):
        read_artifact(artifact)


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
