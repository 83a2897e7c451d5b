"""Weights files: round trip, half precision, and a clear error for everything that does not fit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bitsr.artifact import weights
from bitsr.artifact.weights import WeightsInfo, checksum, read_checksums, read_weights_info, weights_folder
from bitsr.common.errors import BitsrError, UsageError, WeightsError
from bitsr.training.evaluate import evaluate
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import create_model, list_models
from bitsr.training.weights import (
    load_model,
    load_weights,
    save_packed,
    save_weights,
    transfer_weights,
    write_checksum,
)
from bitsr.training.weights.packing import packed_tensors, unpacked


def stored(folder: Path, model_id: str, *, packed: bool = False) -> Path:
    torch.manual_seed(61)
    path = folder / f"{model_id}.safetensors"
    info = WeightsInfo(model=model_id, steps=3, data=["A"], figures={"Set5": {"psnr": 30.5}})
    model = create_model(model_id)
    if packed:
        save_packed(path, model, info)
    else:
        save_weights(path, model.state_dict(), info)
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


@pytest.mark.parametrize("model_id", ["test_ebsr_plus_x2", "test_e2fif_x2", "test_bbcu_m_x4", "test_frb_x2"])
def test_packed_weights_compute_the_same_but_for_half_precision(tmp_path: Path, model_id: str) -> None:
    """Every binary layer keeps its signs exactly and its scales to 11 bits, and so do all other tensors."""
    full, packed = load_model(stored(tmp_path, model_id)), load_model(stored(tmp_path, model_id, packed=True))
    layers = [layer for layer in full.modules() if isinstance(layer, BinaryConv2d)]
    assert layers
    for layer, other in zip(layers, (m for m in packed.modules() if isinstance(m, BinaryConv2d)), strict=True):
        (signs, scale), (own, own_scale) = (m.weight_binarizer.deploy(m.weight.detach()) for m in (layer, other))
        assert torch.equal(signs, own)
        assert torch.allclose(scale, own_scale, rtol=1e-3, atol=1e-6)
    latent = {f"{name}.weight" for name, layer in full.named_modules() if isinstance(layer, BinaryConv2d)}
    state = packed.state_dict()
    for name, tensor in full.state_dict().items():
        if name not in latent:
            assert torch.allclose(tensor, state[name], rtol=1e-3, atol=1e-6), name


def test_packed_weights_are_small(tmp_path: Path) -> None:
    """A bit for each of 32 layers of 36,864 weights, two bytes for each of some 60,000 others, the header."""
    assert stored(tmp_path, "ebsr_light_plus_x2", packed=True).stat().st_size < 310_000
    assert stored(tmp_path, "ebsr_light_plus_tiny_x4", packed=True).stat().st_size < 120_000


def test_bits_that_are_cut_and_values_too_large_for_half_precision(tmp_path: Path) -> None:
    tensors, packed = packed_tensors(create_model("test_ebsr_plus_x2"))
    name = next(iter(packed))
    for wrong in ({**tensors, name + ".signs": tensors[name + ".signs"][:-1]}, {}):
        with pytest.raises(WeightsError, match=f"the bits of {name}"):
            unpacked(wrong, packed)
    model = create_model("test_ebsr_plus_x2")
    torch.nn.init.constant_(model.head.bias, 1e6)
    with pytest.raises(WeightsError, match=r"the first is head\.bias"):
        save_packed(tmp_path / "a.safetensors", model, WeightsInfo(model="test_ebsr_plus_x2"))


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


def test_a_file_that_is_cut_anywhere_is_refused_by_its_header(tmp_path: Path) -> None:
    path = stored(tmp_path, "test_ebsr_plus_x2")
    content = path.read_bytes()
    for length in [*range(0, 2000, 97), len(content) - 1]:
        (tmp_path / "cut.safetensors").write_bytes(content[:length])
        with pytest.raises(WeightsError, match="expected a complete"):
            read_weights_info(tmp_path / "cut.safetensors")


def test_a_broken_description_and_values_that_are_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for info in (
        {},
        {"info": "{"},
        {"info": "[]"},
        {"info": '{"model": "x", "new": 1}'},
        {"info": '{"model": 1}'},
        {"info": '{"model": "x", "steps": -1}'},
        {"info": '{"model": "x", "figures": {"Set5": 30}}'},
        {"info": '{"model": "x", "settings": 5}'},
        {"info": '{"model": "x", "settings": {"blocks": [2]}}'},
    ):
        save_file({"a": torch.zeros(1)}, path, metadata={"format": "bitsr-weights-1", **info})
        with pytest.raises(WeightsError, match="the description in the weights file"):
            read_weights_info(path)
    model = create_model("test_ebsr_plus_x2")
    state = model.state_dict()
    state["head.weight"][0, 0] = torch.nan
    save_weights(path, state, WeightsInfo(model="test_ebsr_plus_x2"))
    with pytest.raises(WeightsError, match=r"not finite in 1 tensors, the first is head\.weight"):
        load_weights(model, path)


def test_weights_carry_the_settings_of_their_model(tmp_path: Path) -> None:
    """A file of an id whose configuration was changed makes that network again, and fits no other."""
    path = tmp_path / "a.safetensors"
    model = create_model("test_ebsr_plus_x2", blocks=3)
    info = WeightsInfo(model="test_ebsr_plus_x2", settings={"blocks": 3})
    save_weights(path, model.state_dict(), info)
    assert load_model(path).info.config["blocks"] == 3
    assert read_weights_info(path) == info
    with pytest.raises(WeightsError, match="whose blocks is 3, got a model whose blocks is 2; create it"):
        load_weights(create_model("test_ebsr_plus_x2"), path)
    plain = stored(tmp_path, "test_ebsr_plus_x2")
    with pytest.raises(WeightsError, match=r"whose input_scale is .*, got a model whose input_scale is 3.0"):
        load_weights(create_model("test_ebsr_plus_x2", input_scale=3.0), plain)
    for settings, problem in (
        ({"pretrained": True}, "has no setting 'pretrained'"),
        ({"model_id": "x"}, "has no setting 'model_id'"),
        ({"blocks": "many"}, "'blocks' of 'test_ebsr_plus_x2' is 'many', expected a whole number"),
    ):
        save_weights(path, model.state_dict(), WeightsInfo(model="test_ebsr_plus_x2", settings=settings))
        with pytest.raises(WeightsError, match=rf"a\.safetensors are not valid: .*{problem}"):
            load_model(path)


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
    assert path.stat().st_size < 350_000
    assert read_checksums(path.parent)[path.name] == checksum(path)
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    for name, figures in info.figures.items():
        assert f"| {name} | {figures['psnr']:.2f} | {figures['ssim']:.4f} |" in card


def test_shipped_weights_that_changed_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = stored(tmp_path, "test_ebsr_plus_x2", packed=True)
    write_checksum(changed)
    monkeypatch.setattr(weights, "weights_folder", lambda: tmp_path)
    assert load_model("test_ebsr_plus_x2").info.scale == 2
    changed.write_bytes(changed.read_bytes()[:-1] + b"?")
    with pytest.raises(WeightsError, match="is not the file that came with bitsr"):
        load_model("test_ebsr_plus_x2")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_weights_reach_their_figures(path: Path, benchmarks: Path) -> None:
    model = load_model(path.stem)
    measured = evaluate(model, folder=benchmarks / "Set5", scale=model.info.scale, bicubic=False).psnr
    # Another CPU sums in another order; single sign decisions may differ.
    assert measured == pytest.approx(read_weights_info(path).figures["Set5"]["psnr"], abs=0.01)
