"""``bitsr upscale`` as people guess it: names, folders, options, and what is left behind when something fails."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitsr.artifact.weights import embedded_weights, read_weights_info
from bitsr.common.pictures import read_picture, writing
from bitsr.common.png import PngWriter

from .conftest import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def upscale(bitsr: Run, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``upscale("a.png", ...)`` with the tiny x2 network, in the folder of the test."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: bitsr("upscale", *arguments, "-n", weights, "--runtime", "eager")


def picture(path: Path | str, width: int = 9, height: int = 7, **options: object) -> None:
    rng = np.random.default_rng(0)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(path, **options)


def size(path: Path | str) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_a_result_is_named_beside_its_picture(upscale: Run) -> None:
    picture("sub/photo.jpg")
    outcome = upscale("sub/photo.jpg")
    assert outcome.code == 0, outcome.err
    assert "written: sub/photo_x2.png" in outcome.out
    assert size("sub/photo_x2.png") == (18, 14)
    assert upscale("sub/photo.jpg").code == 2  # it exists
    assert upscale("sub/photo.jpg", "-f", "webp").code == 0
    assert size("sub/photo_x2.webp") == (18, 14)


def test_the_spellings_of_other_upscalers(upscale: Run) -> None:
    picture("a.png")
    os.mkdir("out")
    for arguments in (
        ["a.png", "b.png"],
        ["-i", "a.png", "-o", "c.jpg", "-s", 2, "-t", 0, "-j", "1:2:2", "-f", "jpg"],
        ["a.png", "-o", "out", "-x"],
        ["-o", "d.webp", "a.png", "-t", 32, "--quality", 50],
    ):
        outcome = upscale(*arguments)
        assert outcome.code == 0, outcome.err
    for name in ("b.png", "c.jpg", "out/a_x2.png", "d.webp"):
        assert size(name) == (18, 14)


def test_a_folder_is_named_beside_its_folder(upscale: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    picture("photos/a.jpg")
    for source in ("photos", "photos/"):
        assert upscale(source, "--overwrite").code == 0
        assert os.listdir("photos_x2") == ["a.png"]
    monkeypatch.chdir("photos")
    assert upscale(".", "--overwrite").code == 0
    assert sorted(os.listdir("..")) == ["photos", "photos_x2"]


def test_folders_are_mirrored(upscale: Run) -> None:
    for name in ("in/a.png", "in/sub/b.png", "in/sub/deep/b.jpg", "in/empty/notes.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        picture(name) if not name.endswith("txt") else Path(name).touch()
    outcome = upscale("in", "out")
    assert outcome.code == 0
    assert "left out: 2 folders (--recursive enters them)" in outcome.err
    assert os.listdir("out") == ["a.png"]
    for _ in range(2):  # the output may lie inside, and is not entered the second time
        assert upscale("in", "in/out", "--recursive", "--overwrite").code == 0
        found = sorted(str(path.relative_to("in/out")) for path in Path("in/out").rglob("*.*"))
        assert found == ["a.png", "sub/b.png", "sub/deep/b.png"]
    assert not Path("in/out/empty").exists()


def test_pictures_of_one_name_and_results_beside_them(upscale: Run) -> None:
    for name in ("d/IMG_1.jpg", "d/IMG_1.png", "d/IMG_2.jpg"):
        picture(name)
    command = ("-i", "d", "-o", "d", "--format", "webp", "--skip-existing")
    assert upscale(*command).code == 0
    results = sorted(name for name in os.listdir("d") if name.endswith("webp"))
    assert len(results) == 3
    again = upscale(*command)
    assert again.code == 0
    assert "3 earlier results" in again.err
    assert len(os.listdir("d")) == 6


def test_an_input_is_never_replaced_by_a_result(upscale: Run) -> None:
    for name in ("d/a.png", "d/A.jpg", "d/b.png"):
        picture(name)
    before = {name: Path("d", name).read_bytes() for name in os.listdir("d")}
    for _ in range(2):
        assert upscale("d", "d", "--overwrite").code == 0
        assert len(os.listdir("d")) == 6
    assert all(Path("d", name).read_bytes() == content for name, content in before.items())


def test_every_file_that_is_left_out_is_counted(upscale: Run) -> None:
    picture("d/one.png")
    picture("d/four.dds")
    Path("d/two.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    Path("d/three.jxl").write_bytes(b"\xff\x0a" + bytes(50))
    picture("d/sub/five.png")
    outcome = upscale("d", "out")
    assert outcome.code == 0
    assert sorted(os.listdir("out")) == ["four.png", "one.png"]
    for part in ("1 HEIC file (not supported", "1 JPEG XL file", "1 folder (--recursive"):
        assert part in outcome.err


def test_a_folder_in_which_all_fails_leaves_no_folder(upscale: Run) -> None:
    os.mkdir("d")
    for name in ("a.png", "b.jpg"):
        Path("d", name).write_bytes(b"broken")
    outcome = upscale("d", "new/out")
    assert outcome.code == 1
    assert "2 of 2 pictures failed" in outcome.err
    assert "the others" not in outcome.err
    assert os.listdir() == ["d"]


def test_a_full_disk_ends_a_run(upscale: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcd":
        picture(f"d/{name}.png")
    written: list[int] = []

    def write(self: PngWriter, rows: np.ndarray) -> None:
        written.append(len(rows))
        if len(written) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(self, rows)

    original = PngWriter.write
    monkeypatch.setattr(PngWriter, "write", write)
    outcome = upscale("d", "out")
    assert outcome.code == 1
    assert "1 of 4 pictures failed; 2 were not tried, because the disk is full; the others are in out" in outcome.err
    assert len(written) == 2
    assert os.listdir("out") == ["a.png"]


def test_a_full_disk_says_one_line_for_a_tiff(upscale: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    picture("a.png")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing.Path, "write_bytes", fail)
    outcome = upscale("a.png", "b.tif")
    assert outcome.code == 1
    assert outcome.err.strip() == outcome.error
    assert os.listdir() == ["a.png"]


def test_options_without_effect_are_named(upscale: Run) -> None:
    picture("a.png")
    for options, remark in (
        (["--recursive"], "--recursive has no effect"),
        (["--quality", 80], "--quality has no effect, PNG"),
        (["-j", 2], "-j has no effect"),
    ):
        outcome = upscale("a.png", "--overwrite", *options)
        assert outcome.code == 0
        assert remark in outcome.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a.png", "b.png", "-f", "jpg"], "not called like a file of --format jpg"),
        (["a.png", "-f", "gif"], "'.gif' names no format"),
        (["a.png", "-j", "none"], "'none' is no number of threads"),
        (["a.png", "-j", "0"], "'0' is no number of threads"),
        (["a.png", "-j", "257"], "'257' is too many threads; expected at most 256"),
        (["a.png", "--quality", "0"], "--quality"),
        (["a.heic"], "is a HEIC file, which is not supported; convert"),
        (["d"], "no picture in d"),
    ],
)
def test_what_cannot_be_meant(upscale: Run, arguments: list[str], expected: str) -> None:
    picture("a.png")
    Path("a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    os.mkdir("d")
    outcome = upscale(*arguments)
    assert outcome.code in (1, 2)
    assert expected in outcome.error
    assert sorted(os.listdir()) == ["a.heic", "a.png", "d"]


def test_quality_and_place_reach_the_file(upscale: Run) -> None:
    exif = Image.Exif()
    exif[0x8298] = "(c) somebody"
    exif.get_ifd(0x8825)[1] = "N"
    picture("a.jpg", 60, 60, exif=exif, dpi=(300, 300))
    for number, options in enumerate((["--quality", 100], ["--quality", 20, "--keep-gps"])):
        assert upscale("a.jpg", f"{number}.jpg", *options).code == 0
    assert os.path.getsize("0.jpg") > 2 * os.path.getsize("1.jpg")
    for name, place in (("0.jpg", None), ("1.jpg", "N")):
        with Image.open(name) as image:
            assert image.info["dpi"] == (300, 300)
            assert image.getexif()[0x8298] == "(c) somebody"
            assert image.getexif().get_ifd(0x8825).get(1) == place


def test_orientations_are_averaged(upscale: Run) -> None:
    picture("a.png", 12, 20)
    with Image.open("a.png") as image:
        image.transpose(Image.Transpose.ROTATE_90).save("turned.png")
    for name in ("a", "turned"):
        assert upscale(f"{name}.png", f"{name}2.png", "-x").code == 0
    with Image.open("a2.png") as image:
        expected = np.asarray(image.transpose(Image.Transpose.ROTATE_90)).astype(int)
    # The average depends on the orientation only by the order of its sums.
    assert np.abs(np.asarray(Image.open("turned2.png")) - expected).max() <= 1
    assert upscale("a.png", "plain.png").code == 0
    assert not np.array_equal(np.asarray(Image.open("plain.png")), np.asarray(Image.open("a2.png")))


@pytest.mark.parametrize("name", ["c" * 240, "ü" * 120, "c" * 251])
def test_names_as_long_as_a_name_can_be(upscale: Run, name: str) -> None:
    picture(f"in/{name}.png")
    assert upscale("in", "out").code == 0
    assert os.listdir("out") == [f"{name}.png"]
    assert upscale(f"in/{name}.png").code == 0
    assert sum(entry.endswith("_x2.png") for entry in os.listdir("in")) == 1


def test_a_link_stays_and_its_target_is_replaced(upscale: Run) -> None:
    picture("a.png")
    picture("there/old.png", 3, 3)
    os.symlink("there/old.png", "link.png")
    assert upscale("a.png", "link.png").code == 2
    assert upscale("a.png", "link.png", "--overwrite").code == 0
    assert os.path.islink("link.png")
    assert size("there/old.png") == (18, 14)
    # Nor does a link lead a result into an input.
    os.makedirs("out")
    os.symlink("../a.png", "out/a.png")
    os.mkdir("in")
    os.rename("a.png", "in/a.png")
    os.unlink("out/a.png")
    os.symlink("../in/a.png", "out/a.png")
    outcome = upscale("in", "out", "--overwrite")
    assert outcome.code == 1
    assert "would be an input" in outcome.err
    assert size("in/a.png") == (9, 7)


def command(weights: Path, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "bitsr", "upscale", *map(str, arguments), "-m", str(weights), "--runtime", "eager"]


def test_of_two_runs_on_one_output_one_succeeds(tmp_path: Path, weights: Path) -> None:
    picture(tmp_path / "a.png", 200, 200)
    runs = [
        subprocess.Popen(command(weights, "a.png", "b.png"), cwd=tmp_path, stderr=subprocess.DEVNULL) for _ in range(2)
    ]
    assert sorted(run.wait(300) for run in runs) == [0, 2]
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b.png"]
    assert read_picture(tmp_path / "b.png").width == 400


def test_names_that_a_terminal_would_obey_or_cannot_show(tmp_path: Path, weights: Path) -> None:
    for name in ("\x1b[31mred\x1b]0;title\x07.png", "кириллица.png", "\u202egnp.png", "line\nbreak.png"):
        picture(tmp_path / name)
    environment = os.environ | {"PYTHONIOENCODING": "ascii:strict"}
    outcome = subprocess.run(
        command(weights, ".", "выход"), cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    shown = outcome.stdout + outcome.stderr
    assert all(byte in range(32, 127) or byte == 10 for byte in shown)
    assert b"\\x1b[31mred" in shown
    assert len(os.listdir(tmp_path / "выход")) == 4


def test_an_interruption_while_modules_are_loaded(tmp_path: Path) -> None:
    # A module that the command line needs is interrupted, as by Ctrl-C in its import.
    (tmp_path / "argparse.py").write_text("raise KeyboardInterrupt\n")
    outcome = subprocess.run(
        [sys.executable, "-m", "bitsr", "models"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 130
    assert outcome.stderr == "error: interrupted\n"


def test_tables_and_lines_fit_narrow_terminals(bitsr: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from bitsr.cli import console

    psnr = read_weights_info(embedded_weights("ebsr_light_plus_x4")).figures["Set5"]["psnr"]
    for width in (40, 80):
        monkeypatch.setattr(console, "PIPE_WIDTH", width)
        outcome = bitsr("models")
        lines = outcome.out.splitlines()
        assert all(len(line) <= max(width, 61) for line in lines)  # titles and lines to be pasted are not folded
        assert any("ebsr_light_plus_x4" in line for line in lines)
        assert any(f"{psnr:.2f}" in line for line in lines)
