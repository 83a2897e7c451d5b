"""Weights files: round trip, half precision, and a clear error for everything that does not fit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bitsr.artifact.weights import WeightsInfo, read_weights_info, weights_folder
from bitsr.common.errors import BitsrError, UsageError, WeightsError
from bitsr.training.evaluate import evaluate
from bitsr.training.models import create_model, list_models
from bitsr.training.weights import latent_weights, load_model, load_weights, save_weights, transfer_weights


def stored(folder: Path, model_id: str, *, half: bool = False) -> Path:
    torch.manual_seed(61)
    path = folder / f"{model_id}.safetensors"
    info = WeightsInfo(model=model_id, steps=3, data=["A"], figures={"Set5": {"psnr": 30.5}})
    model = create_model(model_id)
    save_weights(path, model.state_dict(), info, half=latent_weights(model) if half else ())
    return path


def test_round_trip(tmp_path: Path) -> None:
    torch.manual_seed(61)
    original = create_model("test_ebsr_plus_x2").eval()
    loaded = load_model(stored(tmp_path, "test_ebsr_plus_x2"), scale=2)
    x = torch.rand(1, 3, 7, 6)
    assert not loaded.training
    assert torch.equal(loaded(x), original(x))
    info = read_weights_info(tmp_path / "test_ebsr_plus_x2.safetensors")
    assert (info.steps, info.data, info.figures["Set5"]["psnr"]) == (3, ["A"], 30.5)


def test_half_precision_is_for_latent_weights_and_keeps_their_signs(tmp_path: Path) -> None:
    model = create_model("test_e2fif_x2")
    latent = latent_weights(model)
    full = load_model(stored(tmp_path, "test_e2fif_x2")).state_dict()
    half = load_model(stored(tmp_path, "test_e2fif_x2", half=True)).state_dict()
    assert latent
    for name, tensor in full.items():
        if name in latent:
            assert not torch.equal(tensor, half[name]), name
            assert torch.equal(tensor >= 0, half[name] >= 0), name
            assert torch.allclose(tensor, half[name], rtol=1e-3, atol=1e-6), name  # 11 bits of mantissa.
        else:
            assert torch.equal(tensor, half[name]), name


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    path = stored(tmp_path, "test_ebsr_plus_x2")
    with pytest.raises(WeightsError, match="holds weights of 'test_ebsr_plus_x2', expected 'test_ebsr_plus_x4'"):
        load_weights(create_model("test_ebsr_plus_x4"), path)
    with pytest.raises(UsageError, match="is a x2 model, but scale 3"):
        load_model(path, scale=3)
    with pytest.raises(WeightsError, match="there is no weights file"):
        load_model(tmp_path / "missing.safetensors")
    with pytest.raises(UsageError, match="did you mean"):
        load_model("ebsr_lihgt_x4")
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:500])
    with pytest.raises(WeightsError, match="expected a complete"):
        load_model(tmp_path / "cut.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(WeightsError, match="expected format bitsr-weights-1, found none"):
        load_model(tmp_path / "foreign.safetensors")
    save_weights(tmp_path / "lying.safetensors", {"a": torch.zeros(1)}, WeightsInfo(model="test_ebsr_plus_x2"))
    with pytest.raises(WeightsError, match="do not fit"):
        load_model(tmp_path / "lying.safetensors")
    with pytest.raises(WeightsError, match="no trained weights of 'test_srresnet_x2'"):
        load_model("test_srresnet_x2")


def test_a_broken_description_and_values_that_are_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for info in ({}, {"info": "{"}, {"info": "[]"}, {"info": '{"model": "x", "new": 1}'}):
        save_file({"a": torch.zeros(1)}, path, metadata={"format": "bitsr-weights-1", **info})
        with pytest.raises(WeightsError, match="the description in the weights file"):
            read_weights_info(path)
    model = create_model("test_ebsr_plus_x2")
    state = model.state_dict()
    state["head.weight"][0, 0] = torch.nan
    save_weights(path, state, WeightsInfo(model="test_ebsr_plus_x2"))
    with pytest.raises(WeightsError, match=r"not finite in 1 tensors, the first is head\.weight"):
        load_weights(model, path)


def test_transfer_takes_the_body_and_says_what_it_left(tmp_path: Path) -> None:
    path = stored(tmp_path, "test_ebsr_plus_x2")
    target = create_model("test_ebsr_plus_x4")
    result = transfer_weights(target, path)
    assert sorted(result.fresh) == sorted(result.ignored) == ["tail.bias", "tail.weight"]
    source = load_model(path)
    assert torch.equal(target.body[0].conv1.conv.weight, source.body[0].conv1.conv.weight)
    save_weights(tmp_path / "other.safetensors", {"a": torch.zeros(1)}, WeightsInfo(model="test_srresnet_x2"))
    with pytest.raises(WeightsError, match="no tensor of"):
        transfer_weights(target, tmp_path / "other.safetensors")


def test_writing_into_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BitsrError, match="cannot write"):
        stored(tmp_path / "missing", "test_srresnet_x2")


SHIPPED = sorted(weights_folder().glob("*.safetensors"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_weights_are_small_and_documented(path: Path) -> None:
    info = read_weights_info(path)
    assert path.stem == info.model
    assert info.model in list_models()
    assert path.stat().st_size < 4e6
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    for name, figures in info.figures.items():
        assert f"| {name} | {figures['psnr']:.2f} | {figures['ssim']:.4f} |" in card


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_weights_reach_their_figures(path: Path, benchmarks: Path) -> None:
    model = load_model(path.stem)
    measured = evaluate(model, folder=benchmarks / "Set5", scale=model.info.scale, bicubic=False).psnr
    # Another CPU sums in another order; single sign decisions may differ.
    assert measured == pytest.approx(read_weights_info(path).figures["Set5"]["psnr"], abs=0.01)
