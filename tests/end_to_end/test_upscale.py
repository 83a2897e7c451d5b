"""A photo through the exported network, as a user runs it, against the deploy form in PyTorch."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bitsr.artifact.weights import WeightsInfo, weights_folder
from bitsr.cli import main
from bitsr.common.files import cache_folder
from bitsr.common.pictures import Picture, read_picture, write_picture
from bitsr.inference.eager import EagerSession
from bitsr.inference.load import default_model, load
from bitsr.inference.tiled import upscale_pixels
from bitsr.training.models import create_model
from bitsr.training.weights import save_weights
from bitsr.validation.parity.picture_difference import compare


@pytest.fixture(scope="session", params=["test_ebsr_plus_x2", "test_e2fif_x3"])
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights of tiny models: one with global pooling, one without."""
    torch.manual_seed(0)
    path: Path = tmp_path_factory.mktemp("weights") / f"{request.param}.safetensors"
    save_weights(path, create_model(request.param).state_dict(), WeightsInfo(model=request.param))
    return path


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (9, 1), (2, 3), (37, 50)])
def test_every_size_agrees_with_pytorch(weights: Path, height: int, width: int) -> None:
    rgb = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    pte, eager = load(weights, runtime="pte"), EagerSession.load(weights)
    assert pte.info.runtime == "pte"
    np.testing.assert_array_equal(upscale_pixels(pte, rgb), upscale_pixels(eager, rgb))


def test_tiles_of_a_local_network_show_no_seam(weights: Path, photo: Path) -> None:
    session = load(weights)
    rgb = read_picture(photo).rgb[:150, :200]
    tiled, whole = (upscale_pixels(session, rgb, tile_pixels=pixels) for pixels in (60 * 60, 150 * 200))
    parity = compare(whole, tiled)
    if session.info.global_pooling:
        assert parity.psnr > 30  # the means differ from tile to tile: an approximation, as `summary` says
    else:
        assert parity.psnr > 60
        assert parity.largest <= 4


def test_a_photo_by_one_command(photo: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out.png"
    assert main(["upscale", "-i", str(photo), "-o", str(target)]) == 0
    first = capfd.readouterr()
    assert "written" in first.out
    picture = read_picture(target)
    assert (picture.width, picture.height) == (4 * 451, 4 * 300)
    (artifact,) = cache_folder().glob(f"{default_model(4)}-*/*.tflite")
    assert artifact.is_file()


def test_a_broken_artifact_in_the_cache_is_replaced(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="bitsr")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = load(weights, runtime="pte")
    (artifact,) = cache_folder().glob("*/*.pte")
    whole = artifact.read_bytes()
    artifact.write_bytes(whole[:1000])
    second = load(weights, runtime="pte")
    said = [record.getMessage() for record in caplog.records if record.name == "bitsr.inference.cache"]
    assert [("first use" in text, "not usable" in text) for text in said] == [
        (True, False),
        (False, True),
        (True, False),
    ]
    assert len(artifact.read_bytes()) == len(whole)
    assert first.info == second.info
    assert [path.name for path in cache_folder().iterdir()] == [artifact.parent.name]


def test_a_truncated_artifact_and_a_wrong_scale(
    weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name = weights.stem
    scale = int(name[-1])
    assert main(["export", str(weights), "-o", str(tmp_path)]) == 0
    assert "partitions:" in capfd.readouterr().err
    write_picture(tmp_path / "in.png", Picture(np.zeros((5, 6, 3), np.uint8)))
    pte = tmp_path / f"{name}.pte"
    upscale = ["upscale", "-i", str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png"), "-m", str(pte)]

    assert main([*upscale, "--scale", str(scale + 1)]) == 2
    assert f"x{scale} model" in capfd.readouterr().err
    assert main([*upscale, "--runtime", "eager"]) == 2
    assert "ExecuTorch ('pte') only" in capfd.readouterr().err
    assert main(upscale) == 0
    capfd.readouterr()
    (tmp_path / "out.png").unlink()

    pte.write_bytes(pte.read_bytes()[:-100])
    assert main(upscale) == 1
    errors = capfd.readouterr().err
    assert "truncated" in errors
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "out.png").exists()

    pte.with_suffix(".json").unlink()
    assert main(upscale) == 1
    assert "sidecar" in capfd.readouterr().err


@pytest.mark.parametrize("weights", ["test_e2fif_x3"], indirect=True)
def test_evaluate_an_artifact_with_pictures_beyond_its_budget(weights: Path, photo: Path, tmp_path: Path) -> None:
    assert main(["export", str(weights), "-o", str(tmp_path), "--max-pixels", "1024"]) == 0
    (tmp_path / "set").mkdir()
    rgb = read_picture(photo).rgb[100:220, 100:250]
    write_picture(tmp_path / "set" / "a.png", Picture(rgb))
    psnr = []
    for model in (tmp_path / f"{weights.stem}.pte", weights):
        figures = tmp_path / f"{model.suffix}.json"
        assert main(["evaluate", str(model), "--images", str(tmp_path / "set"), "-o", str(figures)]) == 0
        psnr.append(json.loads(figures.read_text())["models"][0]["sets"]["set"]["psnr"])
    # A local network: tiles change nothing but the order of the float sums of head and tail.
    assert psnr[0] == pytest.approx(psnr[1], abs=0.05)


SHIPPED = sorted(path.stem for path in weights_folder().glob("*.safetensors"))


@pytest.mark.parametrize("model", SHIPPED)
def test_shipped_weights_agree_with_pytorch(model: str, photo: Path) -> None:
    """The trained weights themselves through ExecuTorch, on the eye of a cat."""
    rgb = read_picture(photo).rgb[80:128, 150:214]
    np.testing.assert_array_equal(upscale_pixels(load(model), rgb), upscale_pixels(EagerSession.load(model), rgb))


@pytest.mark.parametrize("change", [{"scale": 4}, {"value_range": [1.0, 0.0]}])
def test_an_edited_sidecar_is_noticed(
    weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], change: dict[str, object]
) -> None:
    assert main(["export", str(weights), "-o", str(tmp_path)]) == 0
    sidecar = tmp_path / f"{weights.stem}.json"
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text(encoding="utf-8")) | change), encoding="utf-8")
    write_picture(tmp_path / "in.png", Picture(np.zeros((5, 6, 3), np.uint8)))
    output = tmp_path / "out.png"
    pte = tmp_path / f"{weights.stem}.pte"
    assert main(["upscale", "-i", str(tmp_path / "in.png"), "-o", str(output), "-m", str(pte)]) == 1
    assert "error:" in capfd.readouterr().err
    assert not output.exists()
