"""Trainings under equal conditions: one row for each model, and nothing is trained twice."""

import json
from pathlib import Path

import pytest
import yaml

from bitsr.common.errors import UsageError
from bitsr.training.compare import main, table
from bitsr.training.publish import publish
from bitsr.training.weights import load_model
from bitsr.training.weights.importing import import_weights


@pytest.fixture
def recipe(pictures: Path, tmp_path: Path) -> Path:
    path = tmp_path / "short.yaml"
    content = {
        "model": "test_ebsr_plus_x2",
        "data": {"train": [str(pictures)], "patch": 10},
        "steps": 2,
        "batch_size": 2,
        "optimizer": {"lr": 3e-3},
        "tensorboard": False,
        "accelerator": "cpu",
    }
    path.write_text(yaml.safe_dump(content))
    return path


def test_models_are_trained_measured_and_not_trained_again(
    recipe: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs"
    command = [str(recipe), "--models", "test_ebsr_plus_x2", "test_e2fif_x2", "--sets", str(pictures)]
    assert main([*command, "--run-dir", str(folder)]) == 0
    first = json.loads((folder / "comparison.json").read_text())
    assert [row["model"] for row in first["results"]] == ["test_ebsr_plus_x2", "test_e2fif_x2"]
    assert all(10 < row["PSNR"][pictures.name] < 60 for row in first["results"])
    assert first["results"][0]["PSNR"] != first["results"][1]["PSNR"]
    said = capsys.readouterr().out
    assert table(first["results"]) in said
    assert said.splitlines()[-1] == f"written: {folder / 'comparison.json'}"

    written = {path: path.stat().st_mtime_ns for path in folder.glob("*/best.safetensors")}
    assert len(written) == 2
    assert main([*command, "--run-dir", str(folder)]) == 0
    assert json.loads((folder / "comparison.json").read_text()) == first
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/best.safetensors")} == written


@pytest.mark.parametrize("behind", ["recipe", "models", "sets"])
def test_changes_count_wherever_they_stand(behind: str, recipe: Path, pictures: Path, tmp_path: Path) -> None:
    parts = {"recipe": [str(recipe)], "models": ["--models", "test_ebsr_plus_x2"], "sets": ["--sets", str(pictures)]}
    parts[behind].append("steps=1")
    assert main([item for part in parts.values() for item in part] + ["--run-dir", str(tmp_path / "runs")]) == 0
    (kept,) = (tmp_path / "runs").glob("*/recipe.yaml")
    assert yaml.safe_load(kept.read_text())["steps"] == 1


def test_settings_of_the_models_are_those_of_the_recipe(recipe: Path, pictures: Path, tmp_path: Path) -> None:
    command = [str(recipe), "settings.blocks=2", "--models", "test_e2fif_x2", "--sets", str(pictures)]
    assert main([*command, "--run-dir", str(tmp_path / "runs")]) == 0
    best = tmp_path / "runs" / "test_e2fif_x2" / "best.safetensors"
    assert load_model(best).info.config["blocks"] == 2
    imported = import_weights(best.parent / "last.pt", tmp_path / "imported.safetensors")
    assert load_model(imported.path).info.config["blocks"] == 2
    with pytest.raises(UsageError, match=r"the settings of 'test_e2fif_x2' were changed \(blocks\)"):
        publish(best.parent, folder=tmp_path)


def test_a_setting_that_the_model_has_not(
    recipe: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ["test_ebsr_plus_x2", "test_e2fif_x2"]  # the first one has it
    command = [str(recipe), "settings.nearest_skip=true", "--models", *models, "--sets", str(pictures)]
    assert main([*command, "--run-dir", str(tmp_path / "runs")]) == 2
    assert "'test_e2fif_x2' has no setting 'nearest_skip'" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_scales_are_not_mixed(recipe: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = ["test_ebsr_plus_x2", "ebsr_light_x4"]
    assert main([str(recipe), "--models", *models, "--sets", str(pictures), "--run-dir", str(tmp_path / "runs")]) == 2
    error = capsys.readouterr().err
    assert "scales [2, 4], expected one" in error
    assert "; name models of one scale" in error


def test_sets_of_the_same_name_are_refused_before_a_training(
    recipe: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, runs = tmp_path / "other" / pictures.name, tmp_path / "runs"
    other.mkdir(parents=True)
    command = [str(recipe), "--models", "test_e2fif_x2", "--run-dir", str(runs), "--sets", str(pictures), str(other)]
    assert main(command) == 2
    assert f"folders called {pictures.name}, expected different names" in capsys.readouterr().err
    assert not runs.exists()
