"""Steps of a diffusion model as a whole: in both formats, on the targets of this machine, and one that is wrong."""

import json
import shutil
import struct
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from bitsr.artifact.weights import WeightsInfo
from bitsr.cli import main
from bitsr.export.export import export_model
from bitsr.training.models import create_model
from bitsr.training.models.diffusion import DiffusionModel
from bitsr.training.weights import save_weights
from bitsr.validation.errors import TargetError
from bitsr.validation.parity.diffusion_steps import MIN_STEP_PSNR_DB, compared_timesteps, disagreement
from bitsr.validation.report.page import render
from bitsr.validation.request import Request
from bitsr.validation.results import Results, StepResult, read_results
from bitsr.validation.targets.host_runner import HostRunner
from bitsr.validation.targets.runner_files import write_integers, write_map
from bitsr.validation.validate import run_request

from .conftest import rewritten
from .samples import outcome

MODEL, SIDE = "test_bidiffsr_x2", 8
# Of the second group of the tiny model's timesteps.
BOUNDARY = 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both artifacts of a step whose groups differ, and the weights."""
    if not all(find_spec(package) for package in ("executorch", "ai_edge_litert", "onnx2tf", "tensorflow")):
        pytest.skip("needs bitsr[export]")
    made: Path = tmp_path_factory.mktemp("steps")
    torch.manual_seed(8)
    model = create_model(MODEL).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() < 4 and "norm" not in name:
                parameter.add_(torch.empty_like(parameter).uniform_(-0.2, 0.2))
    save_weights(made / "weights.safetensors", model.state_dict(), WeightsInfo(model=MODEL))
    export_model(model, output=made, formats=("pte", "tflite"), max_pixels=SIDE**2)
    return made


def targets(repository: Path) -> list[str]:
    """Those that this machine has."""
    found = ["host"]
    if (repository / "build" / "native" / "runner" / "bitsr-run").is_file():
        found.append("native")
    built = repository / "build" / "arm64" / "runner" / "bitsr-run"
    if built.is_file() and shutil.which("qemu-aarch64-static") is not None:
        found.append("qemu:cortex-a76")
    return found


def check(source: Path, weights: Path, on: Sequence[str], report: Path) -> tuple[int, Results]:
    """Exit code and results of the command."""
    words = ["validate", source, "--on", ",".join(on), "--weights", weights, "--output", report, "--runs", "0"]
    code = main([str(word) for word in words])
    return code, read_results(report / "results.json")


def test_whole_steps_agree_on_every_target(
    folder: Path, repository: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing but the order of float sums differs, and no sign flips: far beyond the limit."""
    on = targets(repository)
    code, results = check(folder, folder / "weights.safetensors", on, tmp_path)
    assert code == 0, results.runs
    assert [(run.artifact[len(MODEL) :], run.target) for run in results.runs] == [
        (kind, target) for kind in (".pte", ".tflite") for target in on
    ]
    for run in results.runs:
        assert [step.timestep for step in run.steps] == [0, BOUNDARY, 1999]
        assert all(step.range > 1 and step.agreement > 60 for step in run.steps), run.steps
        print(run.artifact, run.target, [f"{step.agreement:.1f} dB, {step.largest_difference}" for step in run.steps])
    assert f"{min(step.agreement for step in results.runs[0].steps):.1f} dB" in capfd.readouterr().out
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count('<td data-label="timestep"') == 3 * len(results.runs)
    assert results.limits["step_psnr_db"] == MIN_STEP_PSNR_DB


def test_a_wrong_group_of_timesteps_fails_though_every_op_is_right(
    folder: Path, repository: Path, tmp_path: Path
) -> None:
    """The second group begins beyond the last timestep: no op is wrong, only what is handed to them."""
    original = folder / f"{MODEL}.pte"
    content = original.read_bytes().replace(struct.pack("<q", BOUNDARY), struct.pack("<q", 3 * BOUNDARY))
    assert content != original.read_bytes()
    wrong = rewritten(original, tmp_path / original.name, content)
    on = targets(repository)[:2]
    code, results = check(wrong, folder / "weights.safetensors", on, tmp_path / "out")
    assert code == 1
    for run in results.runs:
        assert run.ops
        assert not any(op.wrong for op in run.ops)
        assert [failure.tier for failure in run.failures] == ["step", "step"]
        assert [step.timestep for step in run.steps if step.agreement < MIN_STEP_PSNR_DB] == [BOUNDARY, 1999]
        assert "timestep 1000" in run.failures[0].message
        assert str(wrong) in run.failures[0].reproduce


def test_a_single_op_runs_no_steps_and_times_need_no_twin(folder: Path) -> None:
    source, weights = folder / f"{MODEL}.pte", folder / "weights.safetensors"
    (run,) = run_request(Request(source, weights=weights, op=0, runs=0)).results.runs
    assert run.steps == []
    assert {op.index for op in run.ops} == {0}
    (run,) = run_request(Request(source, weights=weights, threads="1", runs=1)).results.runs
    assert run.passed, run.failures
    assert [(entry.input_shape, entry.twin) for entry in run.latency] == [([1, 6, 2 * SIDE, 2 * SIDE], None)]
    assert any("none is made of a step" in text for text in run.notes)


@pytest.mark.parametrize("kind", ["pte", "tflite"])
def test_the_host_runner_refuses_what_does_not_fit(folder: Path, tmp_path: Path, kind: str) -> None:
    write_map(tmp_path / "map.f32", np.zeros((1, 6, 2 * SIDE, 2 * SIDE), np.float32))
    write_integers(tmp_path / "timestep.i64", np.array([7]))
    write_integers(tmp_path / "two.i64", np.array([7, 8]))
    words = [str(folder / f"{MODEL}.{kind}"), "--shape", f"1,6,{2 * SIDE},{2 * SIDE}", "--runs", "0"]
    runner = HostRunner()
    for names, reason in (
        (("map.f32",), "takes 2 inputs, got 1"),
        (("map.f32", "timestep.i64", "timestep.i64"), "takes 2 inputs, got 3"),
        (("map.f32", "two.i64"), "16 bytes, expected 8"),
        (("map.f32", "map.f32"), "takes int64 there"),
    ):
        inputs = [word for name in names for word in ("--input", str(tmp_path / name))]
        with pytest.raises(TargetError, match=reason):
            runner.execute([*words, *inputs])
    for inputs in ([], ["--input", str(tmp_path / "map.f32"), "--input", str(tmp_path / "timestep.i64")]):
        assert json.loads(runner.execute([*words, *inputs]))["output_shape"] == [1, 3, 2 * SIDE, 2 * SIDE]


def test_one_timestep_of_each_group_is_compared() -> None:
    expected = {
        "bidiffsr_x2": [0, 400, 800, 1200, 1600, 1999],
        "bidiffsr_k1_x2": [0, 1000, 1999],
        "sr3_x2": [0, 1000, 1999],
    }
    for name, timesteps in expected.items():
        with torch.device("meta"):
            model = create_model(name)
        assert isinstance(model, DiffusionModel)
        assert compared_timesteps(model) == timesteps


@pytest.mark.parametrize(
    ("psnr", "largest", "reason"),
    [
        (None, 0.0, ""),
        (MIN_STEP_PSNR_DB, 0.1, ""),
        (MIN_STEP_PSNR_DB - 0.1, 0.1, "agree to 39.9 dB"),
        (None, 0.1, "do not agree"),
        (None, None, "no numbers"),
    ],
)
def test_what_a_disagreement_is(psnr: float | None, largest: float | None, reason: str) -> None:
    result = StepResult(timestep=400, parity_psnr=psnr, largest_difference=largest, range=4.0)
    text = disagreement(result)
    assert reason in text
    assert bool(text) is bool(reason)
    assert ("timestep 400" in text) is bool(reason)


def test_the_page_shows_steps() -> None:
    made = outcome()
    made.results.limits["step_psnr_db"] = MIN_STEP_PSNR_DB
    for number, largest in enumerate([0.02, None, 0.0]):
        psnr = 55.5 if largest else None
        step = StepResult(timestep=400 * number, parity_psnr=psnr, largest_difference=largest, range=4.0)
        made.results.runs[0].steps.append(step)
    page = render(made)
    for word in ("Steps", "55.5 dB", "0.5 %", "no number", "no agreement", "identical", "agree to 40 dB of the range"):
        assert word in page
