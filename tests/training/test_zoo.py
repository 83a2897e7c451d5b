"""The relay: a training goes on in another checkout from the files in git, and a table tells what each leg brought."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from bitsr.artifact.weights import read_weights_info
from bitsr.common.errors import TrainingError, UsageError
from bitsr.training.models import create_model
from bitsr.training.recipe import Recipe, find_recipe, load_recipe, make_recipe
from bitsr.training.run import RunFolder, read_checkpoint
from bitsr.training.trainer import StoppedError, train
from bitsr.training.weights import load_model
from bitsr.training.zoo import plan as plans
from bitsr.training.zoo.legs import Leg, read_legs, table, write_page
from bitsr.training.zoo.plan import Entry, next_cycle, read_plan
from bitsr.training.zoo.relay import Places, train_next
from bitsr.training.zoo.state import restore_state, save_state, state_steps

MODEL = "test_ebsr_plus_x2"


def content(pictures: Path, **changes: object) -> dict[str, object]:
    return {
        "model": MODEL,
        "data": {"train": [str(pictures)], "validation": str(pictures), "patch": 10},
        "steps": 6,
        "batch_size": 2,
        "optimizer": {"lr": 3e-3, "muon": {"lr": 2e-3}},
        "ema": 0.9,
        "validate_every": 1,
        "log_every": 1,
        "tensorboard": False,
        "accelerator": "cpu",
        **changes,
    }


def checkout(root: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A checkout with a plan of two cycles of one tiny model; its benchmark Set5 is the folder of training pictures."""
    places = Places(folder=root / "zoo", weights=root / "weights", page=root / "zoo.md", runs=root / "runs")
    for folder in (places.folder, places.weights):
        folder.mkdir(parents=True)
    places.page.write_text("# Zoo\n<!-- legs -->\n<!-- end of legs -->\nend\n")
    entries = [{"model": MODEL, "steps": 6}, {"model": MODEL, "steps": 4, "start": f"../weights/{MODEL}.safetensors"}]
    places.plan.write_text(yaml.safe_dump(entries))
    sets = root / "data"
    sets.mkdir()
    for name in ("Set5", "train"):
        shutil.copytree(pictures, sets / name)
    data = {"train": ["data/train"], "validation": "data/Set5", "patch": 10}
    recipe = root / f"{MODEL}.yaml"
    recipe.write_text(yaml.safe_dump(content(pictures, data=data)))
    monkeypatch.setattr(plans, "find_recipe", lambda name: recipe)
    return places


def copied(places: Places, root: Path) -> Places:
    """What git carries to another machine: everything but the runs."""
    shutil.copytree(places.folder.parent, root, ignore=shutil.ignore_patterns("runs"))
    return Places(folder=root / "zoo", weights=root / "weights", page=root / "zoo.md", runs=root / "runs")


def test_a_relay_over_three_machines(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = checkout(tmp_path / "first", pictures, monkeypatch)
    data = tmp_path / "first" / "data"
    leg = train_next(first, data=data, minutes=0)  # a step is done, and then the time is over
    assert leg is not None
    assert (leg.first, leg.last, leg.shipped) == (0, 1, True)
    assert set(leg.psnr) == {"Set5"}
    state = first.state(f"{MODEL}_cycle1")
    assert state_steps(state) == 1

    second = copied(first, tmp_path / "second")
    leg = train_next(second, data=data)
    assert leg is not None
    assert (leg.first, leg.last) == (1, 6)
    assert not second.state(f"{MODEL}_cycle1").exists()
    assert read_weights_info(second.weights / f"{MODEL}.safetensors").steps > 1

    third = copied(second, tmp_path / "third")
    leg = train_next(third, data=data)
    assert leg is not None
    assert (leg.first, leg.last) == (6, 10)
    assert train_next(third, data=data) is None
    assert [(leg.first, leg.last) for leg in read_legs(third.legs)] == [(0, 1), (1, 6), (6, 10)]
    assert table(read_legs(third.legs)) in third.page.read_text()
    assert third.page.read_text().endswith("<!-- end of legs -->\nend\n")


def test_the_checkpoint_of_this_machine_is_taken_where_it_is_ahead(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leg that was killed has written no state, but its checkpoint is there."""
    places = checkout(tmp_path / "one", pictures, monkeypatch)
    data = tmp_path / "one" / "data"
    train_next(places, data=data, minutes=0)
    old = places.state(f"{MODEL}_cycle1").read_bytes()
    train_next(places, data=data, minutes=0)
    places.state(f"{MODEL}_cycle1").write_bytes(old)
    leg = train_next(places, data=data, minutes=0)
    assert leg is not None
    assert leg.last == 3


def test_weights_that_are_not_fit_to_be_shipped_lose_no_steps(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packing can cost more than is let pass while the rate is high; the leg is in the table all the same."""
    places = checkout(tmp_path / "one", pictures, monkeypatch)
    monkeypatch.setattr("bitsr.training.publish.LARGEST_PSNR_LOSS", -1000.0)
    leg = train_next(places, data=tmp_path / "one" / "data")  # to its end
    assert leg is not None
    assert not leg.shipped
    assert leg.psnr == {}
    assert state_steps(places.state(f"{MODEL}_cycle1")) == leg.last
    assert [entry.last for entry in read_legs(places.legs)] == [leg.last]
    assert leg.last > 0
    assert not list(places.weights.glob("*.safetensors"))


def test_a_lost_state_is_an_error(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = checkout(tmp_path / "one", pictures, monkeypatch)
    train_next(places, data=tmp_path / "one" / "data", minutes=0)
    places.state(f"{MODEL}_cycle1").unlink()
    with pytest.raises(TrainingError, match="restore it from git"):
        train_next(copied(places, tmp_path / "two"), data=tmp_path / "one" / "data")
    places.page.unlink()
    with pytest.raises(UsageError, match="works in a checkout"):
        train_next(places)


def stopped(recipe: Recipe, folder: Path) -> RunFolder:
    with pytest.raises(StoppedError):
        train(recipe, run_dir=folder, minutes=0)
    return RunFolder(folder, recipe)


@pytest.mark.parametrize("optimizer", [{"lr": 3e-3, "muon": {"lr": 2e-3}}, {"lr": 3e-3, "kind": "adamw"}], ids=str)
def test_a_state_keeps_signs_weights_and_moments(optimizer: dict[str, object], pictures: Path, tmp_path: Path) -> None:
    recipe = make_recipe(content(pictures, optimizer=optimizer))
    run = stopped(recipe, tmp_path / "run")
    path = tmp_path / "state" / "a.safetensors"
    save_state(run.checkpoint, path, recipe)
    again = RunFolder(tmp_path / "again", recipe)
    restore_state(path, again)
    old, new = read_checkpoint(run.checkpoint), read_checkpoint(again.checkpoint)
    assert new["position"] == {**old["position"], "averaged_from": old["position"]["step"]}
    for name, tensor in old["model"].items():
        assert torch.allclose(tensor, new["model"][name], rtol=1e-3, atol=1e-6), name  # latent weights are halved
        assert torch.equal(tensor >= 0, new["model"][name] >= 0), name
    for before, after in zip(old["optimizers"], new["optimizers"], strict=True):
        assert before["state"].keys() == after["state"].keys()
        for index, moments in before["state"].items():
            for key, tensor in moments.items():
                restored = after["state"][index][key]
                assert torch.allclose(tensor, restored, rtol=1e-2), key  # 8 bits of mantissa
                assert tensor.stride() == restored.stride(), key  # a fused optimizer reads memory in this order
    train(recipe, run_dir=again.path, resume=True)


def test_a_state_that_does_not_fit(pictures: Path, tmp_path: Path) -> None:
    recipe = make_recipe(content(pictures))
    run = stopped(recipe, tmp_path / "run")
    path = tmp_path / "a.safetensors"
    save_state(run.checkpoint, path, recipe)
    other = RunFolder(tmp_path / "other", make_recipe(content(pictures, model="test_ebsr_plus_x3")))
    with pytest.raises(TrainingError, match=r"of 'test_ebsr_plus_x2' does not fit 'test_ebsr_plus_x3'.*remove it"):
        restore_state(path, other)
    save_file(load_file(path), tmp_path / "foreign.safetensors")
    with pytest.raises(TrainingError, match="expected format bitsr-training-1, found none"):
        state_steps(tmp_path / "foreign.safetensors")


def test_plans(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    for text in ("- {model: a}", "steps", "- {model: a, steps: 3, more: 1}", "["):
        plan.write_text(text)
        with pytest.raises(UsageError, match="cannot read the plan"):
            read_plan(plan)
    entries = [
        Entry(model="ebsr_light_x4", steps=5),
        Entry(model="ebsr_light_x2", steps=3),
        Entry(model="ebsr_light_x4", steps=2),
    ]

    def at(**done: int) -> tuple[str, int, int, int] | None:
        legs = [Leg(date="", model=model, first=0, last=last, device="", seconds=0.1) for model, last in done.items()]
        cycle = next_cycle(entries, legs, folder=tmp_path, data=tmp_path, overrides=["threads=1"])
        return cycle and (cycle.name, cycle.before, cycle.done, cycle.recipe.steps)

    assert at() == ("ebsr_light_x4_cycle1", 0, 0, 5)
    assert at(ebsr_light_x4=4) == ("ebsr_light_x4_cycle1", 0, 4, 5)
    assert at(ebsr_light_x4=5, ebsr_light_x2=1) == ("ebsr_light_x2_cycle1", 0, 1, 3)
    assert at(ebsr_light_x4=6, ebsr_light_x2=3) == ("ebsr_light_x4_cycle2", 5, 1, 2)
    assert at(ebsr_light_x4=7, ebsr_light_x2=3) is None
    with pytest.raises(UsageError, match=r"the settings of 'ebsr_light_x4' were changed \(blocks\), expected none"):
        next_cycle(entries, [], folder=tmp_path, data=tmp_path, overrides=["settings.blocks=4"])


def test_the_page_of_the_zoo_has_the_table_of_its_legs(repository: Path, tmp_path: Path) -> None:
    places = Places.of_checkout()
    page = repository / "docs" / "zoo.md"
    copy = tmp_path / "zoo.md"
    copy.write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    write_page(copy, read_legs(places.legs))
    assert copy.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")
    copy.write_text("# Zoo\n")
    with pytest.raises(TrainingError, match="lacks the lines"):
        write_page(copy, [])


def test_the_plan_can_be_followed() -> None:
    """Every model has a recipe, and what a cycle starts from is a file here or a model."""
    folder = Places.of_checkout().folder
    for entry in read_plan(folder / "plan.yaml"):
        assert load_recipe(find_recipe(entry.model)).model == entry.model
        if entry.start is not None and not entry.start.endswith(".safetensors"):
            create_model(entry.start)
        elif entry.start is not None:
            assert load_model(folder / entry.start).info.id == entry.model
