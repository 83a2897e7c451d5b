"""The report: complete, self-contained, escaped, and drawn by a real browser at the width of a desk and of a phone."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitsr.validation.report.page import render, write_report
from bitsr.validation.report.pictures import heat_uri
from bitsr.validation.report.plots import Point, op_plot

from .samples import outcome

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
FLAGS += ("--disable-background-networking", "--disable-component-update")


def test_the_page_needs_nothing_else() -> None:
    page = render(outcome())
    # Addresses of other files: in attributes and in style sheets.
    for address in re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([^\"')\s>]*)", page):
        assert address.startswith("data:image/"), address
    assert "<script src" not in page
    assert "@import" not in page
    assert len(page) < 200_000


@pytest.mark.parametrize("failed", [False, True])
def test_the_verdict_comes_first(failed: bool) -> None:
    page = render(outcome(failed=failed))
    body = page[page.index("<body>") :]
    verdict = "Failed" if failed else "Passed"
    assert f"<title>{verdict}" in page
    assert body.index(verdict) < body.index("<table")
    assert ("--op 5" in body) is failed
    for word in ("parity only", "72.5 dB", "identical", "10.0 x", "float twin", "schedutil", "bitsr validate build/x2"):
        assert word in body


def test_the_verdict_has_ranges_scores_and_no_empty_columns() -> None:
    made = outcome()
    run = made.results.runs[0]
    run.pictures.append(run.pictures[0].model_copy(update={"parity_psnr": 80.25, "psnr": 31.25, "eager_psnr": 31.25}))
    page = render(made)
    assert "72.5 dB to 80.2 dB" in page
    assert "31.25 dB<small>+0.0001 dB</small>" in page  # 0.00005 in the mean
    assert f"{len(run.ops)} of {len(run.ops)} op checks exact" in page
    assert "+0.0000" not in page
    assert "faster than its float twin" in page
    for timed in made.results.runs:
        timed.latency.clear()
    assert "faster than its float twin" not in render(made)


def test_it_says_what_was_proved_and_no_more() -> None:
    made = outcome()
    page = render(made)
    ops = [op for run in made.results.runs for op in run.ops]
    assert f"all {len(ops)} checks agree bit for bit" in page
    assert "up to 0.4 % of the pixels differ, by at most 1 of 255" in page
    assert "is what PyTorch computes" not in page
    for run in made.results.runs:
        run.pictures.clear()
    page = render(made)
    assert "Ops passed" in page
    assert "No picture was compared" in page
    assert ">ops pass<" in page
    assert ">pass<" not in page


def test_both_formats_of_a_network_share_a_section_and_their_pictures() -> None:
    made = outcome()
    first = made.results.artifacts[0]
    alone = render(made)
    second = first.model_copy(update={"file": "net_x2.tflite", "kind": "tflite", "bytes": 2 * first.float_bytes})
    made.results.artifacts.append(second)
    for run in list(made.results.runs):
        made.results.runs.append(run.model_copy(update={"artifact": second.file}))
        made.pictured[second.file, run.target] = made.pictured[first.file, run.target]
    made.samples[second.file] = made.samples[first.file]
    page = render(made)
    assert page.count('<h2 class="file">') == alone.count('<h2 class="file">') == 1
    assert page.count('<div class="stage"') == alone.count('<div class="stage"')
    assert page.count("data:image/webp") == alone.count("data:image/webp")  # the same results are shown once
    assert "host .pte, host .tflite" in page
    # A file that is larger than its float weights does not leave the page.
    assert max(float(width) for width in re.findall(r'<i[^>]* style="width: ([\d.]+)%"', page)) == 100


def test_all_ops_are_in_a_table_with_their_modules() -> None:
    made = outcome()
    run = made.results.runs[0]
    run.profile[3] = run.profile[3].model_copy(update={"module": "body.3.conv"})
    page = render(made)
    table = page[page.index('<table class="sortable">') :]
    rows = table[: table.index("</table>")].count("<tr>") - 1
    assert rows == len(run.profile)
    assert "body.3.conv" in table


def test_doubtful_times_have_a_warning() -> None:
    made = outcome()
    assert "in doubt" not in render(made)
    busy = outcome()
    busy.results.runs[0].latency[0].artifact.samples_cpu_ms.extend([0.5] * 50)
    page = render(busy)
    assert "These times are in doubt" in page
    assert "other programs had the processor" in page


def test_names_from_files_are_escaped() -> None:
    page = render(outcome())
    assert "picture<i>.png" not in page
    assert "picture&lt;i&gt;.png" in page
    assert "<b>Processor" not in page


def test_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, outcome())
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_heat_maps_tell_differences() -> None:
    flat = np.zeros((8, 8, 3), np.uint8)
    assert heat_uri(flat, flat, full_scale=4) != heat_uri(flat, flat + 1, full_scale=4)
    # Beyond the scale nothing gets brighter, and the direction does not matter.
    assert heat_uri(flat, flat + 4, full_scale=4) == heat_uri(flat + 200, flat, full_scale=4)


def test_plots_place_values_on_a_logarithmic_scale() -> None:
    points = [Point(0, 0.0, "float", "a"), Point(1, 1e-2, "float", "b"), Point(2, None, "bad", "<c>")]
    svg = op_plot(points, low=1e-4, high=1.0, label="x")
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', svg)]
    assert heights[0] > heights[1] > heights[2]
    assert "&lt;c&gt;" in svg


def screenshot(chromium: str, page: Path, picture: Path, width: int, height: int) -> np.ndarray:
    """What the browser draws of the page."""
    command = [
        chromium,
        *FLAGS,
        "--hide-scrollbars",
        f"--user-data-dir={picture.parent / f'profile{width}'}",
        f"--window-size={width},{height}",
    ]
    command += [f"--screenshot={picture}", f"file://{page}"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB"))


def test_a_browser_draws_it(chromium: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_report(page, outcome())
    drawn = screenshot(chromium, page, tmp_path / "desk.png", 1280, 1600)
    assert drawn.shape == (1600, 1280, 3)
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 200


def test_a_phone_has_nothing_to_scroll_sideways(chromium: str, tmp_path: Path) -> None:
    # A window can not be made that narrow; a frame can, and its page lays out as on a phone.
    page = tmp_path / "report.html"
    write_report(page, outcome())
    measure = "<script>document.body.dataset.widths = document.documentElement.scrollWidth + ' ' + innerWidth</script>"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", f"{measure}</body>"), encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(
        '<iframe src="report.html" width="390" height="800" style="border:0"></iframe><script>'
        "onload = () => { document.title = frames[0].document.body.dataset.widths }</script>",
        encoding="utf-8",
    )
    command = [
        chromium,
        *FLAGS,
        "--allow-file-access-from-files",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
    ]
    done = subprocess.run([*command, f"file://{frame}"], check=True, capture_output=True, text=True, timeout=120)
    widths = re.search(r"<title>(\d+) (\d+)</title>", done.stdout)
    assert widths is not None, done.stdout
    content, window = map(int, widths.groups())
    assert window == 390
    assert content <= window
