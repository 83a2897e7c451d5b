"""Pictures through a .tflite."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from bitsr.common.errors import ArtifactError, UsageError
from bitsr.export.export import STOCK_OPS, ExportResult
from bitsr.inference.load import load


def test_a_tflite_opens_by_its_name(ebsr_export: ExportResult, make_map: Callable[..., Tensor]) -> None:
    x = make_map(12, 15).numpy()
    expected = load(ebsr_export.files["pte"].path).run(x)
    for item in ("tflite", STOCK_OPS):
        session = load(ebsr_export.files[item].path, runtime="tflite")
        assert (session.info.runtime, session.info.scale, session.info.max_pixels) == ("tflite", 2, 64 * 64)
        # Stock ops sum floats, in an order of their own.
        np.testing.assert_allclose(session.run(x), expected, rtol=0, atol=0 if item == "tflite" else 1e-3)


def test_the_file_in_stock_ops_runs_without_any_library_of_ours(
    ebsr_export: ExportResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_map: Callable[..., Tensor]
) -> None:
    monkeypatch.setenv("BITSR_RUNTIME_DIR", str(tmp_path))
    y = load(ebsr_export.files[STOCK_OPS].path).run(make_map(5, 6).numpy())
    assert y.shape == (1, 3, 10, 12)


def test_a_contradicting_scale_or_runtime(ebsr_export: ExportResult) -> None:
    path = ebsr_export.files["tflite"].path
    with pytest.raises(UsageError, match="x2 model, but scale 4"):
        load(path, scale=4)
    for runtime in ("pte", "eager"):
        with pytest.raises(UsageError, match=f"runs in the core .*LiteRT.*runtime .{runtime}."):
            load(path, runtime=runtime)


def test_a_picture_beyond_the_pixel_budget(ebsr_export: ExportResult, make_map: Callable[..., Tensor]) -> None:
    session = load(ebsr_export.files["tflite"].path)
    with pytest.raises(ArtifactError, match="at most 4096"):
        session.run(make_map(64, 65).numpy())


def test_a_file_without_our_metadata(ebsr_export: ExportResult, tmp_path: Path) -> None:
    data = ebsr_export.files["tflite"].path.read_bytes()
    path = tmp_path / "other.tflite"
    path.write_bytes(data[:4] + b"XXXX" + data[8:])
    with pytest.raises(ArtifactError, match=r"is no \.tflite"):
        load(path)
