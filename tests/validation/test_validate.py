"""`bitsr validate` as a whole: exit codes, files, and what a failure says."""

import doctest
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import bitsr.validation.validate as validation
from bitsr.cli import main
from bitsr.export.export import STOCK_OPS, export_model
from bitsr.validation.request import Request
from bitsr.validation.results import Results, read_results
from bitsr.validation.run import MIN_PICTURE_PSNR_DB

from .conftest import MODEL, rewritten

Command = Callable[..., tuple[int, Results | None, str]]


@pytest.fixture
def validate(weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run the command with the tiny network's weights: exit code, results, what it printed."""

    def run(*arguments: object) -> tuple[int, Results | None, str]:
        report = tmp_path / "out"
        words = ["validate", *map(str, arguments), "--weights", str(weights), "--output", str(report), "--runs", "0"]
        capfd.readouterr()
        code = main(words)
        captured = capfd.readouterr()
        path = report / "results.json"
        return code, read_results(path) if path.exists() else None, captured.out + captured.err

    return run


def test_an_export_passes_on_the_python_runtime(
    validate: Command, exported: Path, images: Path, tmp_path: Path
) -> None:
    code, results, text = validate(exported.parent, "--on", "host", "--images", images)
    assert code == 0, text
    assert results is not None
    (run,) = results.runs
    assert run.passed
    assert [picture.name for picture in run.pictures] == ["ear.png", "eye.png"]
    assert all(p.parity_psnr is None or p.parity_psnr >= MIN_PICTURE_PSNR_DB for p in run.pictures)
    assert {op.check for op in run.ops} == {"accumulators of plane 0", "packed bits", "values"}
    assert run.latency == []
    assert re.search(rf"{re.escape(exported.name)}\s+host\s+pass\s+{len(run.ops)} of {len(run.ops)}\s", text), text
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_a_changed_weight_bit_fails_and_says_how_to_see_it_again(validate: Command, faulty: Path, images: Path) -> None:
    code, results, text = validate(faulty, "--on", "host", "--images", images, "--seed", 3)
    assert code == 1
    assert results is not None
    failures = results.runs[0].failures
    op = next(failure for failure in failures if failure.tier == "op" and "accumulators" in failure.message)
    assert "body.0.1.conv" in op.message
    assert "expected" in op.message
    assert op.seed == 3
    command = shlex.split(op.reproduce)
    index = command[command.index("--op") + 1]
    assert command[:3] == ["bitsr", "validate", str(faulty)]
    assert f"op {index} " in op.message
    assert op.reproduce in text
    # The command alone shows the fault again, with this op and nothing else.
    code, again, _ = validate(faulty, "--on", "host", "--seed", 3, "--op", index)
    assert code == 1
    assert again is not None
    assert {entry.index for entry in again.runs[0].ops} == {int(index)}
    assert [f.message for f in again.runs[0].failures if "accumulators" in f.message] == [op.message]


def test_wrong_requests_have_exit_code_2(validate: Command, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments in (
        (exported, "--on", "telephone"),
        (tmp_path / "empty", "--on", "host"),
        (exported, "--on", "host", "--op", 999),
        (exported, "--on", "host", "--images", tmp_path / "nowhere"),
    ):
        assert validate(*arguments)[0] == 2


def test_foreign_weights_are_refused(validate: Command, exported: Path, tmp_path: Path) -> None:
    copy = rewritten(exported, tmp_path / exported.name, exported.read_bytes(), weights_sha256="0" * 64)
    code, _, text = validate(copy, "--on", "host")
    assert code == 2
    assert "--weights" in text


def test_a_missing_runner_has_exit_code_3(
    validate: Command, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITSR_BUILD_DIR", str(tmp_path))
    code, _, text = validate(exported, "--on", "host,native")
    assert code == 3
    assert "make build" in text


def test_the_cpp_runner_passes_layer_by_layer(
    validate: Command, exported: Path, images: Path, repository: Path
) -> None:
    if not (repository / "build" / "native" / "runner" / "bitsr-run").is_file():
        pytest.skip("needs the runner: make build")
    code, results, text = validate(exported, "--on", "native", "--images", images, "--limit", 1)
    assert code == 0, text
    assert results is not None
    (run,) = results.runs
    layers = [layer for layer in run.layers if layer.kind == "binary_conv2d"]
    assert len(layers) == 4
    assert all(layer.relative_error == 0 for layer in run.layers)
    assert run.first_divergence is None
    assert [picture.parity_psnr for picture in run.pictures] == [None]


def test_the_example_of_the_function(
    exported: Path, weights: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "build").mkdir()
    for name, source in (("build/x2", exported.parent), ("tiny.safetensors", weights), ("photos", images)):
        (tmp_path / name).symlink_to(source)
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(validation, verbose=False)
    assert (found.failed, found.attempted) == (0, 5)


def test_the_command_asks_for_the_same() -> None:
    assert Request(Path("d")).command() == "bitsr validate d --on host --seed 0"
    asked = Request(Path("d"), "native", threads="4", runs=0).command(op=3)
    assert asked == "bitsr validate d --on native --seed 0 --op 3 --threads 4 --runs 0"


def test_a_file_in_stock_ops_is_close_and_passes(
    validate: Command, weights: Path, images: Path, tmp_path: Path
) -> None:
    """The framework rounds its sums in its own order, so identity is asked of our ops alone."""
    made = export_model(MODEL, weights=weights, output=tmp_path, formats=("tflite",), stock_ops=True)
    code, _, text = validate(made.files[STOCK_OPS].path, "--on", "host", "--images", images)
    assert code == 0, text
