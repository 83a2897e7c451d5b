"""Commands that work: what they write, and what they say at the end."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bitsr.artifact.weights import pretrained_models
from bitsr.common.pictures import Picture, read_picture, write_picture
from bitsr.training.models import create_model, list_models

from .conftest import Outcome

Bitsr = Callable[..., Outcome]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_help_names_every_command(bitsr: Bitsr) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        outcome = bitsr(*arguments)
        assert outcome.code == 0
        for command in (
            "models",
            "summary",
            "train",
            "evaluate",
            "import",
            "export",
            "upscale",
            "demo",
            "validate",
            "bench",
            "figure",
            "doctor",
        ):
            assert f" {command} " in outcome.out


HEAVY = ("torch", "tensorflow", "executorch", "onnx")


@pytest.mark.parametrize(
    ("arguments", "also_light"),
    [
        (["--help"], ["numpy", "PIL"]),
        (["upscale", "--help"], ["numpy", "PIL"]),
        (["upscale", "none.png"], ["numpy", "PIL"]),
        (["models"], ["PIL"]),
    ],
)
def test_nothing_heavy_is_loaded_for_little(tmp_path: Path, arguments: list[str], also_light: list[str]) -> None:
    names = [*HEAVY, *also_light]
    code = (
        f"import sys; from bitsr.cli import main; main({arguments}); "
        f"sys.exit(','.join(name for name in {names} if name in sys.modules) or None)"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr


COMMANDS = [
    "upscale",
    "models",
    "summary",
    "train",
    "evaluate",
    "export",
    "import",
    "convert",
    "validate",
    "bench",
    "demo",
    "doctor",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example(bitsr: Bitsr, command: str) -> None:
    outcome = bitsr(command, "--help")
    assert outcome.code == 0
    assert "Example" in outcome.out
    assert outcome.out.count(f"bitsr {command}") >= 2  # usage and example


def test_models_lists_those_with_weights_first(bitsr: Bitsr) -> None:
    outcome = bitsr("models")
    assert outcome.code == 0
    lines = [line.split()[0] for line in outcome.out.splitlines()[2:-1]]
    assert lines == pretrained_models()
    everything = bitsr("models", "--all")
    listed = [line.split()[0] for line in everything.out.splitlines()[2:-1]]
    assert listed[: len(lines)] == lines
    assert set(listed) == {name for name in list_models() if not name.startswith("test_")}
    assert "test_ebsr_plus_x2" in bitsr("models", "test_*").out


def test_summary(bitsr: Bitsr) -> None:
    outcome = bitsr("summary", "ebsr_light_x4")
    assert outcome.code == 0
    assert "body.15.conv2.conv" in outcome.out
    assert "parameters:    1,179,648 weights of few bits, 76,784 floats" in outcome.out
    # Four maps of 64 channels and the enlarged picture, in float32, and strips of the network's end.
    assert "memory:        at most 67 MiB for the maps of an artifact, 180x320 pixels or their tiles" in outcome.out
    counted = bitsr("summary", "ebsr_light_x4", "--size", "1x3x128x128", "--convention", "ebsr")
    assert "total:         2.24 G FLOPs, 0.114 M parameters" in counted.out
    assert bitsr("summary", "ebsr_light_x4", "--convention", "thop").code == 2
    for wrong in ("3x3", "1x1x9x9", "1x3x0x9", "axbxcxd"):
        assert bitsr("summary", "ebsr_light_x4", "--size", wrong).code == 2


def test_doctor_reports_versions(bitsr: Bitsr) -> None:
    outcome = bitsr("doctor")
    assert outcome.code == 0
    for word in ("torch", "executorch", "processor", "free memory", "libbitsr_executorch.so"):
        assert word in outcome.out


def test_upscale_a_file(bitsr: Bitsr, tmp_path: Path, weights: Path) -> None:
    write_picture(tmp_path / "a.jpg", Picture(noise(12, 17)))
    target = tmp_path / "b.png"
    outcome = bitsr("upscale", "-i", tmp_path / "a.jpg", "-o", target, "-m", weights, "--runtime", "eager")
    assert outcome.code == 0
    assert f"written: {target}" in outcome.out
    assert "next:" not in outcome.out
    picture = read_picture(target)
    assert (picture.width, picture.height) == (34, 24)


def test_a_checkpoint_is_imported_and_upscales(bitsr: Bitsr, tmp_path: Path) -> None:
    torch.manual_seed(2)
    state = {f"module.{name}": tensor for name, tensor in create_model("test_bbcu_m_x3").state_dict().items()}
    torch.save({"params": state}, tmp_path / "net.pth")
    write_picture(tmp_path / "a.png", Picture(noise(12, 17)))
    refused = bitsr("upscale", tmp_path / "a.png", "-m", tmp_path / "net.pth", "--runtime", "eager")
    assert f"bitsr import {tmp_path / 'net.pth'} net.safetensors" in refused.err
    target = tmp_path / "net.safetensors"
    outcome = bitsr("import", tmp_path / "net.pth", target, "--model", "test_bbcu_m_x3")
    assert outcome.code == 0
    assert f"next:    bitsr export {target} -o build/test_bbcu_m_x3" in outcome.out
    upscaled = bitsr("upscale", tmp_path / "a.png", "-o", tmp_path / "b.png", "-m", target, "--runtime", "eager")
    assert upscaled.code == 0
    assert read_picture(tmp_path / "b.png").height == 36
    assert bitsr("import", tmp_path / "net.pth", target).code == 2  # it exists


def test_the_next_command_can_be_pasted(bitsr: Bitsr) -> None:
    for arguments in (["models"], ["models", "--all"]):
        (line,) = (line for line in bitsr(*arguments).out.splitlines() if line.startswith("next:"))
        program, *words = shlex.split(line.removeprefix("next:"))
        assert program == "bitsr"
        assert bitsr(*words).code == 0


def test_upscale_a_folder_with_a_broken_picture(bitsr: Bitsr, tmp_path: Path, weights: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    write_picture(source / "a.png", Picture(noise(5, 6)))
    write_picture(source / "b.jpg", Picture(noise(7, 8)))
    (source / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    command = ["upscale", "-i", source, "-o", target, "-m", weights, "--runtime", "eager", "--format", "webp"]
    outcome = bitsr(*command)
    assert outcome.code == 1
    assert "c.png" in outcome.err
    assert "1 of 3 pictures failed" in outcome.err
    assert sorted(os.listdir(target)) == ["a.webp", "b.webp"]
    assert f"the others are in {target}" in outcome.err
    before = (target / "a.webp").stat().st_mtime_ns
    assert bitsr(*command).code == 2
    again = bitsr(*command, "--skip-existing")
    assert again.code == 1
    assert "a.webp exists: left out" in again.err
    assert (target / "a.webp").stat().st_mtime_ns == before


def test_evaluate_writes_the_figures(bitsr: Bitsr, tmp_path: Path, weights: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(noise(33, 41)).save(folder / name)
    report = tmp_path / "figures.json"
    outcome = bitsr("evaluate", weights, "--images", folder, "-o", report)
    assert outcome.code == 0
    (figures,) = json.loads(report.read_text())["models"]
    assert figures["model"] == "test_ebsr_plus_x2"
    assert set(figures["sets"]["set"]["pictures"]) == {"a", "b"}
    assert f"{figures['sets']['set']['bicubic_psnr']:.2f}" in outcome.out


def test_evaluate_writes_a_table_of_models(bitsr: Bitsr, tmp_path: Path, weights: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    Image.fromarray(noise(33, 41)).save(folder / "a.png")
    for suffix in ("md", "csv"):
        table = tmp_path / f"table.{suffix}"
        outcome = bitsr("evaluate", weights, weights, "--runtime", "eager", "--images", folder, "-o", table)
        assert outcome.code == 0
        rows = [[c.strip() for c in re.split("[|,]", line.strip("|"))] for line in table.read_text().splitlines()]
        rows = [row for row in rows if not row[0].startswith("---")]
        assert [row[0] for row in rows] == ["model", "bicubic", "test_ebsr_plus_x2", "test_ebsr_plus_x2"]
        assert rows[0][1:] == ["scale", "set PSNR", "set SSIM"]
        assert rows[2][2] in outcome.out


def test_evaluate_refuses_other_tables_and_devices(bitsr: Bitsr, tmp_path: Path, weights: Path) -> None:
    outcome = bitsr("evaluate", weights, "--images", tmp_path, "-o", tmp_path / "table.xlsx")
    assert (outcome.code, "is no .json, .md, .csv" in outcome.error) == (2, True)
    outcome = bitsr("evaluate", weights, "--images", tmp_path, "--device", "abacus")
    assert (outcome.code, "cannot compute on 'abacus'" in outcome.error) == (2, True)
    outcome = bitsr("evaluate", weights, "--images", tmp_path, "--images", tmp_path / ".")
    assert (outcome.code, "have one name" in outcome.error) == (2, True)


def test_train_and_go_on(bitsr: Bitsr, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(noise(40, 40)).save(folder / "a.png")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(
        "model: test_ebsr_plus_x2\nsteps: 2\nbatch_size: 2\naccelerator: cpu\n"
        f"data: {{train: [{folder}], patch: 8}}\noptimizer: {{lr: 1e-3}}\n"
    )
    run = tmp_path / "run"
    outcome = bitsr("train", recipe, "--run-dir", run)
    assert outcome.code == 0, outcome.err
    assert f"written: {run}" in outcome.out
    assert bitsr("train", recipe, "--run-dir", run).code == 2
    assert bitsr("train").code == bitsr("train", recipe, "--data", folder).code == 2
    assert bitsr("train", recipe, "--run-dir", run, "--resume", "steps=3").code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_leaves_finished_files_only(tmp_path: Path, weights: Path, number: signal.Signals) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    write_picture(source / "a.png", Picture(noise(8, 8)))
    write_picture(source / "b.png", Picture(noise(3000, 3000)))  # some ten seconds of work
    command = [
        sys.executable,
        "-m",
        "bitsr",
        "upscale",
        "-i",
        source,
        "-o",
        target,
        "-m",
        weights,
        "--runtime",
        "eager",
    ]
    process = subprocess.Popen(
        [*map(str, command), "--tile", "64"],
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, which the tests may be, has SIGINT ignored, and so have its children.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 300  # against hanging only
    while not (target / "a.png").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    errors = process.communicate(timeout=300)[1]
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert os.listdir(target) == ["a.png"]


@pytest.mark.parametrize("arguments", [["models"], ["summary", "ebsr_light_x4"]])
def test_a_closed_pipe_is_no_error_report(arguments: list[str]) -> None:
    command = f"{sys.executable} -m bitsr {' '.join(arguments)} | head -n 1"
    outcome = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in outcome.stderr
    assert "Exception ignored" not in outcome.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_fail_no_command(closed: str, tmp_path: Path, weights: Path) -> None:
    Image.new("RGB", (9, 7), "teal").save(tmp_path / "a.png")
    arguments = shlex.join(["upscale", str(tmp_path / "a.png"), "-m", str(weights), "--runtime", "eager"])
    for words in ("models 'ebsr*tiny*'", arguments):
        outcome = subprocess.run(["bash", "-c", f"{sys.executable} -m bitsr {words} {closed}"], check=False)
        assert outcome.returncode == 0
    assert (tmp_path / "a_x2.png").is_file()
