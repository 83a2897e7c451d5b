"""docs/new_block.md, done: its file is saved, its commands are run, its block is trained, counted, exported, proved."""

import json
import re
import shlex
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bitsr.cli import main
from bitsr.common.errors import UsageError
from bitsr.common.plugins import load_file
from bitsr.training.cost import convention, model_cost
from bitsr.training.models import create_model


def fenced(page: str, language: str) -> str:
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    return str(block)


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "new_block.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's file, and a folder of two smooth pictures; the file is loaded."""
    folder = tmp_path_factory.mktemp("new_block")
    (folder / "mix.py").write_text(fenced(page, "python"), encoding="utf-8")
    (folder / "pictures").mkdir()
    rng = np.random.default_rng(8)
    for name in ("a", "b"):
        small = Image.fromarray(rng.integers(0, 256, (12, 14, 3), dtype=np.uint8))
        small.resize((56, 48), Image.Resampling.BICUBIC).save(folder / "pictures" / f"{name}.png")
    load_file(folder / "mix.py")
    return folder


def test_the_page_is_a_page(page: str) -> None:
    assert len(page.splitlines()) < 110


def test_cost(folder: Path) -> None:
    layers = model_cost("mix_x2", size=(1, 3, 128, 128))
    # 16 blocks of 9 and 1 taps, 64 x 64 channels each.
    assert sum(layer.bit_macs for layer in layers) == 16 * 10 * 64 * 64 * 128 * 128
    assert sum(layer.low_bit_weights for layer in layers) == 16 * 10 * 64 * 64
    # Head, tail, bits / 64, and 32 batch normalisations, in EBSR's units.
    expected = 2 * (1728 + 64 * 12 * 9) * 128**2 + 2 * 16 * 10 * 64 * 128**2 + 8 * 32 * 64 * 128**2
    assert convention("ebsr").operations(layers) == expected


def test_it_learns(folder: Path, train_shortly: Callable) -> None:
    torch.manual_seed(5)
    outcome = train_shortly(create_model("mix_tiny_x2"))
    assert outcome.finite
    assert outcome.last_loss < 0.8 * outcome.first_loss
    assert outcome.flipped > 0


def test_the_commands_of_the_page(
    folder: Path, page: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # Not importorskip: it loads TensorFlow, which must come after torch's compiler.
    if not all(find_spec(package) for package in ("lightning", "executorch", "tensorflow", "ai_edge_litert")):
        pytest.skip("needs bitsr[train,export]")
    monkeypatch.chdir(folder)
    commands = [shlex.split(line) for line in fenced(page, "sh").splitlines()]
    assert [command[3] for command in commands] == ["summary", "train", "export", "validate"]
    for program, *arguments in commands:
        assert program == "bitsr"
        assert main(arguments) == 0, capfd.readouterr().err
    results = json.loads((folder / "build" / "mix" / "report" / "results.json").read_text(encoding="utf-8"))
    assert {run["artifact"] for run in results["runs"]} == {"mix_tiny_x2.pte", "mix_tiny_x2.tflite"}
    for run in results["runs"]:
        # Two blocks of two binary layers, each replayed in several ways, and two pictures.
        assert len(run["ops"]) >= 4
        assert not any(op["wrong"] for op in run["ops"])
        assert len(run["pictures"]) == 2


def test_a_file_is_loaded_once(folder: Path) -> None:
    load_file(folder / "mix.py")  # a second registration of a model id would raise


@pytest.mark.parametrize(
    ("name", "content"), [("absent.py", None), ("notes.txt", ""), ("broken.py", "import nothing_")]
)
def test_files_that_can_not_be_loaded_are_named(tmp_path: Path, name: str, content: str | None) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=name):
        load_file(tmp_path / name)
