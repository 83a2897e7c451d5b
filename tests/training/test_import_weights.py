"""Checkpoints of others: what the imported network computes, containers and prefixes, and what does not fit."""

import argparse
import logging
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bitsr.artifact.weights import read_weights_info
from bitsr.common.errors import UnknownNameError, UsageError, WeightsError
from bitsr.training.models import create_model
from bitsr.training.recipe import make_recipe
from bitsr.training.trainer import train
from bitsr.training.weights import load_model
from bitsr.training.weights.importing import import_weights

from .released_networks import Bbcu, BiDiffSr, BinaryConv, Body, E2fif, ReactnetBlock


def saved(content: Any, path: Path) -> Path:
    torch.save(content, path)
    return path


def reactnet(*, column: bool = False) -> Bbcu:
    torch.manual_seed(5)
    network = Bbcu(2, binary=False, k=1.0, body=nn.Sequential(*(ReactnetBlock(8) for _ in range(2))))
    if column:
        for block in network.body.children():
            weight = block.binary_conv.weight
            block.binary_conv.forward = None  # the first versions of its code kept the weights in one column
            block.binary_conv.weights = nn.Parameter(weight.detach().reshape(-1, 1))
    return network


def check_equal(network: nn.Module, model_id: str, path: Path, run: Callable[[Tensor], Tensor], *given: Tensor) -> None:
    """The imported network computes what the released one does, but for the order of float sums."""
    x = torch.rand(1, 3, 12, 14)
    ours = load_model(path)
    assert ours.info.id == model_id
    with torch.no_grad():
        expected, y = run(x), ours(x)
    assert (y - expected).abs().max() < 1e-4 * expected.abs().max()
    assert expected.std() > 1e-3


@pytest.mark.parametrize(
    ("scale", "binary", "model_id"),
    [(3, True, "test_bbcu_m_x3"), (4, True, "test_bbcu_m_x4"), (2, False, "test_bbcu_l_x2")],
)
def test_bbcu(tmp_path: Path, scale: int, binary: bool, model_id: str) -> None:
    torch.manual_seed(1)
    network = Bbcu(scale, binary=binary).eval()
    source = saved({"params": network.state_dict()}, tmp_path / "BBCU.pth")
    result = import_weights(source, tmp_path / "a.safetensors")
    assert (result.model, result.layout) == (model_id, "BBCU")
    check_equal(network, model_id, result.path, network)


def test_the_full_size_is_recognised(tmp_path: Path) -> None:
    torch.manual_seed(1)
    blocks = nn.Sequential(*(Body(BinaryConv(64), BinaryConv(64)) for _ in range(16)))
    network = Bbcu(4, binary=True, channels=64, k=130.0, body=blocks).eval()
    result = import_weights(saved({"params": network.state_dict()}, tmp_path / "a.pth"), tmp_path / "a.safetensors")
    check_equal(network, "bbcu_m_x4", result.path, network)


def test_e2fif_computes_on_0_to_255(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = E2fif(3).eval()
    result = import_weights(saved(network.state_dict(), tmp_path / "model_best.pt"), tmp_path / "a.safetensors")
    check_equal(network, "test_e2fif_x3", result.path, lambda x: network(255 * x) / 255)


@pytest.mark.parametrize("column", [False, True])
def test_reactnets_block_in_the_backbone_of_basicsr(tmp_path: Path, column: bool) -> None:
    state = reactnet(column=column).state_dict()
    if column:
        state = {name: tensor for name, tensor in state.items() if not name.endswith("binary_conv.weight")}
    result = import_weights(saved({"state_dict": state}, tmp_path / "a.pth.tar"), tmp_path / "a.safetensors")
    network = reactnet().eval()
    check_equal(network, "test_reactnet_x2", result.path, network)


@pytest.mark.parametrize("timestep", [3, 1500])
def test_bidiffsr_whose_scale_its_tensors_do_not_tell(tmp_path: Path, timestep: int) -> None:
    torch.manual_seed(3)
    network = BiDiffSr().eval()
    source = saved({"params_ema": network.state_dict(), "params": {}}, tmp_path / "net.pth")
    target = tmp_path / "a.safetensors"
    with pytest.raises(WeightsError, match=r"fit several models: test_bidiffsr_x2, test_bidiffsr_x4; name one"):
        import_weights(source, target)
    import_weights(source, target, model="test_bidiffsr_x4")
    x, at = torch.rand(1, 6, 12, 16), torch.tensor([timestep])
    with torch.no_grad():
        expected, y = network(x, at), load_model(target)(x, at)
    assert (y - expected).abs().max() < 1e-4 * expected.abs().max()


MODEL = "test_ebsr_plus_x2"


def state_of() -> dict[str, Tensor]:
    torch.manual_seed(7)
    return create_model(MODEL).state_dict()


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"params": {name: tensor * 0 for name, tensor in state.items()}, "params_ema": state},
        lambda state: {"state_dict": prefixed(state, "module."), "epoch": 3, "optimizer": {"state": {0: {}}}},
        lambda state: {"model": prefixed(state, "module._orig_mod.")},
        lambda state: {"checkpoint": {"weights": prefixed(state, "net_g.")}, "arguments": {"lr": 0.1}},
        lambda state: {
            "state_dict": state,
            "args": argparse.Namespace(lr=1),
            "best": np.float64(31.5),
            "n": np.int64(3),
        },
        lambda state: {"anything": state, "step": torch.tensor(3)},
        lambda state: {name: tensor.half() for name, tensor in state.items()},
        lambda state: {name: tensor.double() for name, tensor in state.items()},
    ],
)
def test_containers_prefixes_and_precisions(tmp_path: Path, wrap: Callable[[dict[str, Tensor]], Any]) -> None:
    source = saved(wrap(state_of()), tmp_path / "a.pth")
    result = import_weights(source, tmp_path / "a.safetensors", model=MODEL)
    assert (result.model, result.layout) == (MODEL, "bitsr")
    state = load_model(result.path).state_dict()
    for name, tensor in state_of().items():
        assert torch.allclose(state[name], tensor, rtol=1e-3, atol=1e-4), name


def test_plain_safetensors_and_the_older_format_of_pytorch(tmp_path: Path) -> None:
    save_file(state_of(), tmp_path / "plain.safetensors")
    torch.save(state_of(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for number, name in enumerate(("plain.safetensors", "old.pth")):
        target = tmp_path / f"{number}.safetensors"
        import_weights(tmp_path / name, target, model=MODEL)
        assert torch.equal(load_model(target).state_dict()["head.weight"], state_of()["head.weight"])


def test_a_model_of_ours_is_found_by_its_tensors(tmp_path: Path) -> None:
    source = saved(create_model("ebsr_light_plus_tiny_x3").state_dict(), tmp_path / "a.pth")
    assert import_weights(source, tmp_path / "a.safetensors").model == "ebsr_light_plus_tiny_x3"


def test_what_is_no_checkpoint_or_could_run_code(tmp_path: Path) -> None:
    target = tmp_path / "a.safetensors"
    cases: list[tuple[Path, str]] = [
        (
            saved({"args": Fraction(1, 2), "state_dict": state_of()}, tmp_path / "a.pth"),
            r"fractions\.Fraction",
        ),
        (saved(nn.Conv2d(3, 3, 1), tmp_path / "b.pth"), "could run code, so they are not read"),
        (saved([1, 2], tmp_path / "c.pth"), "holds no tensors by name .it is a list"),
        (saved({}, tmp_path / "d.pth"), "holds no tensors by name .it is empty"),
        (saved(torch.zeros(3), tmp_path / "e.pth"), "it is a Tensor"),
        (tmp_path / "missing.pth", "there is no checkpoint"),
    ]
    torch.jit.script(nn.Conv2d(3, 3, 1)).save(str(tmp_path / "f.pt"))
    cases.append((tmp_path / "f.pt", "is a TorchScript program"))
    content = saved(state_of(), tmp_path / "g.pth").read_bytes()
    for name, part in (("cut", content[:-700]), ("start", content[:100]), ("empty", b""), ("text", b"no checkpoint")):
        (tmp_path / name).write_bytes(part)
        cases.append((tmp_path / name, "as a checkpoint"))
    for path, words in cases:
        with pytest.raises(WeightsError, match=words):
            import_weights(path, target, model=MODEL)
    assert not target.exists()


class Harmful:
    """Its unpickling makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_in_a_checkpoint_is_run(tmp_path: Path, zipped: bool) -> None:
    content = {"state_dict": state_of(), "harmful": Harmful(tmp_path / "made")}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="could run code, so they are not read"):
        import_weights(tmp_path / "a.pth", tmp_path / "a.safetensors", model=MODEL)
    assert not (tmp_path / "made").exists()


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    target = tmp_path / "a.safetensors"
    torch.manual_seed(1)
    state = Bbcu(4, binary=True).state_dict()
    shape = state["conv_last.weight"].shape
    changed = {**state, "conv_last.weight": torch.zeros(1, *shape[1:]), "extra": torch.zeros(1)}
    del changed["upconv2.move0.bias"]
    with pytest.raises(WeightsError) as caught:
        import_weights(saved({"params": changed}, tmp_path / "a.pth"), target)
    for words in (
        "(under 'params')",
        "by the names of BBCU",
        "'test_bbcu_m_x4'",
        "1 missing: upconv2.move0.bias",
        "1 unexpected: extra",
        "conv_last.weight (1, 8, 3, 3), expected (3, 8, 3, 3)",
    ):
        assert words in str(caught.value)
    with pytest.raises(WeightsError, match=r"names of no known network: 0\.weight, 0\.bias"):
        import_weights(saved(nn.Sequential(nn.Conv2d(3, 3, 1)).state_dict(), tmp_path / "b.pth"), target)
    with pytest.raises(WeightsError, match=r"missing: head\.weight"):
        import_weights(tmp_path / "b.pth", target, model=MODEL)
    assert not target.exists()


def test_networks_that_compute_otherwise_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "a.safetensors"
    classifier = {**reactnet().state_dict(), "fc.weight": torch.zeros(2, 2), "fc.bias": torch.zeros(2)}
    for state, words in (
        (E2fif(2, colours=1).state_dict(), "takes one colour channel"),
        (E2fif(2, span=1.0).state_dict(), r"sub_mean\.bias is .*values of 0 to 255"),
        (classifier, "it classifies pictures"),
    ):
        with pytest.raises(WeightsError, match=words):
            import_weights(saved(state, tmp_path / "a.pth"), target)


def test_wrong_requests(tmp_path: Path) -> None:
    source = saved({"a": state_of(), "b": state_of()}, tmp_path / "a.pth")
    target = tmp_path / "a.safetensors"
    with pytest.raises(
        WeightsError, match="tensors under several keys, none of a usual name: a, b; name one with --key"
    ):
        import_weights(source, target, model=MODEL)
    with pytest.raises(WeightsError, match="no tensors under 'c'; it has some under: a, b"):
        import_weights(source, target, model=MODEL, key="c")
    with pytest.raises(UnknownNameError, match="did you mean"):
        import_weights(source, target, model="test_ebsr_plus_x5", key="a")
    with pytest.raises(UsageError, match=r"ends with \.safetensors"):
        import_weights(source, tmp_path / "a.pth", model=MODEL, key="a")
    import_weights(source, target, model=MODEL, key="b")
    with pytest.raises(UsageError, match="exists; choose another name"):
        import_weights(source, target, model=MODEL, key="b")
    with pytest.raises(UsageError, match="is a weights file of bitsr already"):
        import_weights(target, tmp_path / "c.safetensors")


def test_values_that_are_not_finite_leave_nothing_behind(tmp_path: Path) -> None:
    state = {**state_of(), "head.bias": torch.full((8,), torch.nan)}
    with pytest.raises(WeightsError, match="not finite"):
        import_weights(saved(state, tmp_path / "a.pth"), tmp_path / "a.safetensors", model=MODEL)
    assert not (tmp_path / "a.safetensors").exists()


def test_latent_weights_of_zero_are_remarked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(1)
    state = Bbcu(3, binary=True).state_dict()
    state["conv_hr.binary_conv.weight"][0] = 0
    with caplog.at_level(logging.WARNING):
        import_weights(saved(state, tmp_path / "a.pth"), tmp_path / "a.safetensors")
    assert "72 weights of binary layers are exactly 0" in caplog.text


def test_a_training_of_ours(tmp_path: Path, pictures: Path) -> None:
    run = tmp_path / "run"
    recipe = make_recipe(
        {
            "model": MODEL,
            "data": {"train": [str(pictures)], "patch": 10},
            "steps": 2,
            "batch_size": 1,
            "optimizer": {"lr": 1e-3},
            "tensorboard": False,
            "accelerator": "cpu",
        }
    )
    train(recipe, run_dir=run)
    result = import_weights(run / "last.pt", tmp_path / "a.safetensors")
    info = read_weights_info(result.path)
    assert (info.model, info.data, info.steps) == (MODEL, [pictures.name], 2)
    assert info.recipe == recipe.to_yaml()
    average = torch.load(run / "last.pt", weights_only=True)["average"]
    assert torch.equal(load_model(result.path).head.weight, average["head.weight"])


@pytest.mark.parametrize("name", ["last.pt", "a.pth", "a.ckpt"])
def test_commands_that_take_weights_name_the_import(tmp_path: Path, name: str) -> None:
    path = saved(state_of(), tmp_path / name)
    with pytest.raises(WeightsError, match=rf"bitsr import .*{name}"):
        load_model(path)
    with pytest.raises(WeightsError, match="there is no weights file"):
        load_model(tmp_path / f"missing_{name}")
