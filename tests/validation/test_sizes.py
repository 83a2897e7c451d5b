"""Networks of one size, and small budgets of pixels."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from bitsr.artifact.artifact import read_artifact
from bitsr.artifact.info import SizeRules
from bitsr.artifact.weights import WeightsInfo
from bitsr.common.errors import UsageError
from bitsr.export.export import export_model
from bitsr.export.parity.recording import record
from bitsr.training.models import create_model
from bitsr.training.weights import save_weights
from bitsr.validation.parity import layers
from bitsr.validation.request import Request
from bitsr.validation.validate import run_request

MODEL, SIDE = "test_frbt_x2", 16


def test_sides() -> None:
    free = SizeRules(min_side=1, max_pixels=512 * 512, multiple=1)
    small = SizeRules(min_side=1, max_pixels=1100, multiple=4)
    only = SizeRules(min_side=64, max_pixels=64 * 64, multiple=64)
    assert [sizes.only_side for sizes in (free, small, only)] == [None, None, 64]
    assert [sizes.square(most=128) for sizes in (free, small, only)] == [128, 32, 64]
    assert [sizes.square(most=48) for sizes in (free, small, only)] == [48, 32, 64]
    for sizes in (free, small, only):
        side = sizes.square(most=48)
        sizes.check(height=side, width=side)


def test_a_part_of_a_large_picture_is_compared_layer_by_layer(
    network: nn.Module, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info, x = read_artifact(exported), torch.rand(1, 3, 30, 40)
    assert layers.compared_side(network, x, info) == 40  # all of it
    values = sum(y.numel() for call in record(network, x).calls for y in call.results if y is not None)
    for most, side in ((values // 3, 20), (values // 12, 10)):  # 1200 pixels: 400 and 100 of them
        monkeypatch.setattr(layers, "MAX_DUMP_VALUES", most)
        # Vectors count for less in a larger picture: the estimate is a little too high.
        assert side - 2 <= layers.compared_side(network, x, info) <= side


def test_a_network_of_one_size_passes(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("executorch") is None:
        pytest.skip("needs bitsr[executorch]")
    weights = tmp_path / "weights.safetensors"
    torch.manual_seed(5)
    save_weights(weights, create_model(MODEL).state_dict(), WeightsInfo(model=MODEL))
    export_model(MODEL, weights=weights, output=tmp_path)
    request = Request(tmp_path / f"{MODEL}.pte", images=images, weights=weights, threads="1", runs=1)
    (done,) = run_request(request).results.runs
    assert done.passed, done.failures
    assert [picture.low_size for picture in done.pictures] == [(SIDE, SIDE)] * 2
    assert [entry.input_shape for entry in done.latency] == [[1, 3, SIDE, SIDE]]
    assert done.latency[0].twin is not None, done.notes

    small = tmp_path / "small.png"
    Image.new("RGB", (2 * SIDE - 1, 100)).save(small)
    with pytest.raises(UsageError, match=r"small\.png is 31 x 100 pixels; the artifact needs sides of 32"):
        run_request(Request(request.source, images=small, weights=weights, runs=0))
