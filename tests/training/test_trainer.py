"""The training loop on tiny models: it learns, resumes bit for bit, and refuses what it must."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from PIL import Image
from torch import Tensor

from bitsr.artifact.weights import read_weights_info
from bitsr.common.errors import BitsrError, PictureError, TrainingError, UsageError
from bitsr.training.binarizers import MeanScaleWeight, Sign
from bitsr.training.criteria import CRITERIA, charbonnier
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import create_model
from bitsr.training.optimizers import make_optimizers
from bitsr.training.publish import publish
from bitsr.training.ranks import share_of_batch
from bitsr.training.recipe import Optimizer, Recipe, load_recipe, make_recipe
from bitsr.training.run import RunFolder
from bitsr.training.schedule import Average
from bitsr.training.trainer import main, train
from bitsr.training.weights import load_model


def recipe(pictures: Path, **changes: Any) -> Recipe:
    content: dict[str, Any] = {
        "model": "test_ebsr_plus_x2",
        "data": {"train": [str(pictures)], "patch": 10},
        "steps": 8,
        "batch_size": 2,
        "optimizer": {"lr": 3e-3},
        "schedule": {"kind": "cosine", "warmup": 2, "final": 0.02},
        "ema": 0.9,
        "clip_norm": 1.0,
        "validate_every": 4,
        "log_every": 2,
        "seed": 71,
        "tensorboard": False,
        "accelerator": "cpu",
    }
    return make_recipe({**content, **changes})


def everything(run_dir: Path) -> dict[str, Tensor]:
    content = torch.load(run_dir / "last.pt", weights_only=True)
    tensors = {f"{part}.{name}": t for part in ("model", "average") for name, t in content[part].items()}
    for number, optimizer in enumerate(content["optimizers"]):
        for index, values in optimizer["state"].items():
            tensors.update({f"optimizers.{number}.{index}.{name}": t for name, t in values.items()})
    return tensors


MUON = {"lr": 3e-3, "muon": {"lr": 2e-3, "decay": 0.1}}


@pytest.mark.parametrize(
    ("model", "optimizer"),
    [
        ("test_ebsr_plus_x2", {"lr": 3e-3}),
        ("test_ebsr_plus_x2", MUON),
        ("test_e2fif_x2", MUON),
        ("test_bidiffsr_x2", {"lr": 3e-3}),
    ],
)
def test_resume_continues_bit_for_bit(pictures: Path, tmp_path: Path, model: str, optimizer: dict[str, Any]) -> None:
    """8 steps equal 4 steps, a new start, 4 steps: weights, average, the optimizers' moments and batch statistics.

    The loss of a diffusion model draws noise, a timestep and dropout in each step.
    """
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    train(recipe(pictures, model=model, optimizer=optimizer), run_dir=whole)

    class InterruptedHereError(Exception):
        pass

    # The checkpoint of step 4 is what an interruption after it leaves.
    def save_then_stop(self: Any, *arguments: Any) -> None:
        original(self, *arguments)
        raise InterruptedHereError

    original = RunFolder.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "save", save_then_stop)
        with pytest.raises(InterruptedHereError):
            train(recipe(pictures, model=model, optimizer=optimizer), run_dir=halves)
    assert torch.load(halves / "last.pt", weights_only=True)["position"]["step"] == 4
    train(recipe(pictures, model=model, optimizer=optimizer), run_dir=halves, resume=True)

    first, second = everything(whole), everything(halves)
    assert first.keys() == second.keys()
    different = [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]
    assert different == []


def test_it_learns(pictures: Path, tmp_path: Path) -> None:
    data = {"train": [str(pictures)], "validation": str(pictures), "patch": 10}
    best = train(recipe(pictures, steps=60, data=data, validate_every=20), run_dir=tmp_path / "run")
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [20, 40, 60]
    assert log[-1]["psnr"] > log[0]["psnr"] + 0.5
    info = read_weights_info(best)
    assert info.model == "test_ebsr_plus_x2"
    assert info.steps == max(log, key=lambda entry: entry["psnr"])["step"]
    assert load_recipe(tmp_path / "run" / "recipe.yaml").steps == 60

    folder = tmp_path / "weights"
    folder.mkdir()
    published = publish(tmp_path / "run", sets=[pictures], folder=folder)
    assert published.taken
    (figures,) = published.info.figures.values()
    assert figures["psnr"] == pytest.approx(max(entry["psnr"] for entry in log), abs=0.02)
    assert published.path.with_suffix(".md").read_text().startswith("# test_ebsr_plus_x2")
    assert str(pictures.parent) not in published.info.recipe
    again = publish(tmp_path / "run", sets=[pictures], folder=folder, only_if_better=True)
    assert not again.taken
    assert again.info == published.info


def test_init_from_another_scale(pictures: Path, tmp_path: Path) -> None:
    best = train(recipe(pictures, steps=2), run_dir=tmp_path / "x2")
    start = recipe(pictures, model="test_ebsr_plus_x3", steps=1, init_from=str(best), optimizer={"lr": 1e-12}, ema=0.0)
    got = load_model(train(start, run_dir=tmp_path / "x3"))
    assert torch.allclose(got.body[1].conv2.conv.weight, load_model(best).body[1].conv2.conv.weight, atol=1e-6)


def test_existing_and_missing_runs(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to resume"):
        train(recipe(pictures), run_dir=tmp_path / "new", resume=True)
    train(recipe(pictures, steps=1), run_dir=tmp_path / "run")
    with pytest.raises(UsageError, match="already holds a training"):
        train(recipe(pictures), run_dir=tmp_path / "run")
    with pytest.raises(UsageError, match="is a training of 'test_ebsr_plus_x2'"):
        train(recipe(pictures, model="test_e2fif_x2"), run_dir=tmp_path / "run", resume=True)
    (tmp_path / "run" / "last.pt").write_bytes(b"broken")
    with pytest.raises(TrainingError, match="cannot read the checkpoint"):
        train(recipe(pictures), run_dir=tmp_path / "run", resume=True)


def test_resume_with_another_recipe_names_what_differs(pictures: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    train(recipe(pictures, steps=2), run_dir=run_dir)
    other = recipe(pictures, steps=4, optimizer={"lr": 1e-3}, data={"train": [str(pictures)], "patch": 12})
    with pytest.raises(UsageError) as caught:
        train(other, run_dir=run_dir, resume=True)
    assert "data.patch was 10 and is 12 now; optimizer.lr was 0.003 and is 0.001 now" in str(caught.value)
    assert "steps was" not in str(caught.value)
    assert load_recipe(run_dir / "recipe.yaml").optimizer.lr == 3e-3
    # What decides where, how long and how it runs may change, and so may everything with a checkpoint without recipe.
    data = {"train": [str(pictures)], "patch": 10, "workers": 1}
    train(recipe(pictures, steps=4, log_every=1, validate_every=2, threads=1, data=data), run_dir=run_dir, resume=True)
    content = torch.load(run_dir / "last.pt", weights_only=True)
    del content["recipe"]
    torch.save(content, run_dir / "last.pt")
    train(recipe(pictures, steps=5, optimizer={"lr": 1e-3}), run_dir=run_dir, resume=True)


def test_resume_to_fewer_steps_is_refused(pictures: Path, tmp_path: Path) -> None:
    train(recipe(pictures, steps=2), run_dir=tmp_path / "run")
    with pytest.raises(UsageError, match="2 steps behind it, the recipe asks for 1"):
        train(recipe(pictures, steps=1), run_dir=tmp_path / "run", resume=True)
    assert load_recipe(tmp_path / "run" / "recipe.yaml").steps == 2


@pytest.mark.parametrize("accelerator", ["cuda", "gpux"])
def test_a_machine_without_the_accelerator_is_one_error(pictures: Path, tmp_path: Path, accelerator: str) -> None:
    if accelerator == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UsageError, match=f"cannot train on accelerator '{accelerator}'"):
        train(recipe(pictures, accelerator=accelerator), run_dir=tmp_path / "run")


def test_resume_takes_the_start_weights_over(pictures: Path, tmp_path: Path) -> None:
    start = train(recipe(pictures, steps=1), run_dir=tmp_path / "start")
    train(recipe(pictures, steps=1, init_from=str(start)), run_dir=tmp_path / "run")
    best = train(recipe(pictures, steps=2), run_dir=tmp_path / "run", resume=True)
    assert yaml.safe_load(read_weights_info(best).recipe)["init_from"] == str(start)
    with pytest.raises(UsageError, match=r"init_from was .*start.* and is 'other' now"):
        train(recipe(pictures, steps=3, init_from="other"), run_dir=tmp_path / "run", resume=True)


def test_a_validation_picture_that_cannot_be_measured_is_named_first(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    Image.new("RGB", (40, 14)).save(tmp_path / "set" / "tiny.png")
    data = {"train": [str(pictures)], "validation": str(tmp_path / "set"), "patch": 10}
    with pytest.raises(PictureError, match=r"tiny\.png: the picture has 40x14 pixels"):
        train(recipe(pictures, data=data), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_that_cannot_be_written_is_one_error(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "file").touch()
    with pytest.raises(BitsrError, match="cannot create the folder"):
        train(recipe(pictures), run_dir=tmp_path / "file" / "run")
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(BitsrError, match=r"last\.pt: No space left"):
        train(recipe(pictures), run_dir=tmp_path / "run")
    assert "last.pt" not in os.listdir(tmp_path / "run")


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(pictures: Path, tmp_path: Path) -> None:
    broken = recipe(
        pictures, model="test_srresnet_x2", optimizer={"lr": 1e30}, clip_norm=0.0, steps=40, validate_every=1000
    )
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf)"):
        train(broken, run_dir=tmp_path / "run")
    assert not (tmp_path / "run" / "last.pt").exists()


def test_bf16_trains(pictures: Path, tmp_path: Path) -> None:
    best = train(recipe(pictures, precision="bf16", steps=2), run_dir=tmp_path / "run")
    assert all(t.dtype == torch.float32 for t in load_model(best).state_dict().values() if t.is_floating_point())


def test_a_set_that_is_met_exactly_is_not_published(pictures: Path, tmp_path: Path) -> None:
    """Of one colour bicubic enlargement is right in every pixel, and no figure of a card."""
    train(recipe(pictures, steps=2), run_dir=tmp_path / "run")
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (40, 40), (90, 120, 60)).save(tmp_path / "flat" / "a.png")
    with pytest.raises(UsageError, match="a PSNR on flat is not finite"):
        publish(tmp_path / "run", folder=tmp_path, sets=[tmp_path / "flat"])
    assert not (tmp_path / "test_ebsr_plus_x2.safetensors").exists()


def test_average_warm_up_and_decay() -> None:
    model = create_model("test_srresnet_x2")
    average = Average(model, decay=0.5)
    start = model.head.bias.detach().clone()
    with torch.no_grad():
        model.head.bias.add_(1.0)
    average.update(model, step=1)  # Decay min(0.5, 2/11).
    assert torch.allclose(average.model.head.bias, start + 9 / 11)
    average.update(model, step=1000)
    assert torch.allclose(average.model.head.bias, start + 1 - (2 / 11) / 2)


def test_plain_mean_of_the_last_weights() -> None:
    model = create_model("test_srresnet_x2")
    average = Average(model, decay=0.0, mean_from=2)
    seen = []
    for step in range(1, 6):
        with torch.no_grad():
            model.head.bias.add_(step)
        seen.append(model.head.bias.detach().clone())
        average.update(model, step=step)
        expected = seen[-1] if step <= 2 else torch.stack(seen[2:]).mean(dim=0)
        torch.testing.assert_close(average.model.head.bias, expected)


def test_charbonnier_by_hand() -> None:
    a, b = torch.tensor([0.5, 0.5, 0.2]), torch.tensor([0.5, 0.497, 0.6])
    expected = (1e-3 + (9e-6 + 1e-6) ** 0.5 + (0.16 + 1e-6) ** 0.5) / 3
    assert charbonnier(a, b).item() == pytest.approx(expected, rel=1e-5)
    assert CRITERIA["l1"](a, b).item() == pytest.approx((0.003 + 0.4) / 3, rel=1e-4)


@pytest.mark.parametrize(("kind", "decay"), [("adam", 0.0), ("adam", 0.1), ("adamw", 0.1)])
def test_weight_decay_of_both_kinds(kind: str, decay: float) -> None:
    """Without a gradient AdamW shrinks the weights by rate times decay, Adam's first step is the rate."""
    model = create_model("test_srresnet_x2")
    with torch.no_grad():
        model.head.weight.fill_(0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    (optimizer,) = make_optimizers(model, Optimizer(kind=kind, lr=0.01, weight_decay=decay))
    optimizer.step()
    expected = {("adam", 0.0): 0.5, ("adam", 0.1): 0.49, ("adamw", 0.1): 0.5 * (1 - 0.001)}[kind, decay]
    torch.testing.assert_close(model.head.weight, torch.full_like(model.head.weight, expected))


def test_a_batch_in_parts_gives_the_step_of_the_whole(pictures: Path, tmp_path: Path) -> None:
    # The optimizer's mean gradients are compared: Adam's first step is its rate times a sign, whatever their size.
    whole = recipe(pictures, steps=1, batch_size=4, ema=0.0)
    parts = whole.model_copy(update={"accumulate": 2})
    seen = []
    for number, item in enumerate((whole, parts)):
        train(item, run_dir=tmp_path / str(number))
        moments = torch.load(tmp_path / str(number) / "last.pt", weights_only=True)["optimizers"][0]["state"]
        seen.append([values["exp_avg"] for values in moments.values()])
    for one, two in zip(*seen, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-7)
    with pytest.raises(UsageError, match="4 crops a step, which are no 3 equal parts"):
        train(whole.model_copy(update={"accumulate": 3}), run_dir=tmp_path / "odd")


def test_activations_first(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are real before ``binary_from``; what is measured and kept is binary."""
    states: list[bool] = []
    usual = BinaryConv2d.forward

    def look(layer: BinaryConv2d, x: Tensor, shift: Tensor | None = None) -> Tensor:
        if layer.training and torch.is_grad_enabled():
            states.append(layer.binary_weights)
        else:
            assert layer.binary_weights  # what is measured
        return usual(layer, x, shift)

    monkeypatch.setattr(BinaryConv2d, "forward", look)
    validation = {"train": [str(pictures)], "validation": str(pictures), "patch": 10}
    train(recipe(pictures, steps=3, binary_from=2, validate_every=1, data=validation), run_dir=tmp_path / "run")
    layers = len(states) // 3
    assert states == [False] * 2 * layers + [True] * layers


def test_real_weights_of_a_binary_layer() -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(3, 4, 3, activation_binarizer=Sign(), weight_binarizer=MeanScaleWeight())
    x = torch.randn(1, 3, 5, 5)
    bits = torch.where(x >= 0, 1.0, -1.0)
    binary = layer(x)
    layer.binary_weights = False
    torch.testing.assert_close(layer(x), F.conv2d(bits, layer.weight, padding=1))
    assert (binary - layer(x)).abs().max() > 0.1


def test_command_line_errors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["no_such_recipe"]) == 2
    assert main(["ebsr_light_x4", "step=3"]) == 2
    missing = str(tmp_path / "missing")
    code = main(["ebsr_light_x4", "--run-dir", str(tmp_path), f"data.train=[{missing}]", "tensorboard=false"])
    assert code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line.startswith("error: ") for line in lines[:2]] == [True, True]
    assert "did you mean 'steps'" in lines[1]
    assert "there is no picture folder" in lines[-1]


def run_two(arguments: list[str], *, program: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The trainer's command with ``devices: 2``, or a program that prepares the processes before it calls it."""
    start = ["-m", "bitsr.training.trainer"] if program is None else [str(program)]
    return subprocess.run([sys.executable, *start, *arguments], capture_output=True, text=True, timeout=580)


@pytest.fixture
def two(pictures: Path, tmp_path: Path) -> Path:
    recipe(pictures, devices=2, threads=1, steps=4, log_every=1).save(tmp_path / "two.yaml")
    return tmp_path / "two.yaml"


def test_two_processes_train_together(two: Path, tmp_path: Path) -> None:
    """DistributedDataParallel on two CPU processes, started by Fabric; the batch is shared between them."""
    done = run_two([str(two), "--run-dir", str(tmp_path / "run")])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("weights: ") == 1
    position = torch.load(tmp_path / "run" / "last.pt", weights_only=True)["position"]
    assert position["step"] == 4


def test_a_batch_that_the_processes_cannot_share_is_refused() -> None:
    assert share_of_batch(16, processes=2) == 8
    with pytest.raises(UsageError, match="batch_size 3 is not a multiple of the 2 devices"):
        share_of_batch(3, processes=2)


# What happens in the second process alone, at its second step.
TROUBLE = """
import os, signal, sys
from bitsr.training import trainer
from bitsr.training.models import SuperResolutionModel

usual = SuperResolutionModel.training_loss

def trouble(self, network, low, high, calls=[], **options):
    calls.append(1)
    loss = usual(self, network, low, high, **options)
    if os.environ["LOCAL_RANK"] == "1" and len(calls) == 2:
        {}
    return loss

SuperResolutionModel.training_loss = trouble
sys.exit(trainer.main())
"""


@pytest.mark.parametrize(
    ("action", "code", "message"),
    [
        ("os.kill(os.getpid(), signal.SIGINT)", 130, "stopped after step 2 of 4; go on with --resume"),
        # Its gradient is 0, so the first process sees only finite numbers.
        (
            "loss = loss + (loss.detach() * float('inf') - loss.detach())",
            1,
            "the loss is not finite in another process",
        ),
    ],
    ids=["stop", "loss"],
)
def test_processes_end_together(two: Path, tmp_path: Path, action: str, code: int, message: str) -> None:
    """A stop or a loss that is not finite in one process ends all of them, with one message and a checkpoint."""
    (tmp_path / "program.py").write_text(TROUBLE.format(action))
    done = run_two([str(two), "--run-dir", str(tmp_path / "run")], program=tmp_path / "program.py")
    assert done.returncode == code, done.stderr
    assert done.stderr.count("error: ") == 1
    assert message in done.stderr
    if code == 130:
        assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["position"]["step"] == 2
    else:
        assert not (tmp_path / "run" / "last.pt").exists()
