"""``bitsr bench``."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from bitsr.cli.arguments import Commands, Option
from bitsr.cli.console import closing, note, table
from bitsr.cli.options import example
from bitsr.common.errors import BitsrError, UsageError
from bitsr.common.files import atomic_write, check_writable, make_folder

if TYPE_CHECKING:
    from bitsr.validation.bench import Row

COMPLETE, PARTIAL = "results.json", "results.partial.json"
_PHOTOS = [Path("assets/chelsea.png"), Path("assets/coffee.png")]


def register(app: Commands) -> None:
    app.add(
        "bench",
        bench,
        short_help="Time our kernels against the stock runtimes.",
        epilog=example(
            "bitsr bench --case network --threads 1,2 -o build/bench",
            "bitsr bench --on adb:emulator-5554 --app --model ebsr_light_plus_x4 -o build/phone",
        ),
    )


def bench(
    folder: Annotated[Path, Option("--output", "-o", help="Folder of results.json.")] = Path("build/bench"),
    kernel: Annotated[
        list[str] | None, Option(help="Our kernel; may be repeated.", show_default="all that run here")
    ] = None,
    threads: Annotated[
        str | None, Option(help="Thread counts, separated by commas.", show_default="1, and all processors")
    ] = None,
    case: Annotated[str, Option(help="Cases, separated by commas.")] = "layer,network,families,diffusion",
    runtime: Annotated[
        str,
        Option(help="Runtimes, separated by commas: pte (ExecuTorch), tflite (LiteRT), core (no framework)."),
    ] = "pte,tflite,core",
    picture: Annotated[
        list[Path] | None,
        Option(help="Photo that int8 is calibrated with; may be repeated.", show_default="those in assets"),
    ] = None,
    int8: Annotated[bool, Option("--int8/--no-int8", help="Time int8 opponents.")] = True,
    larq_python: Annotated[
        Path | None, Option(help="A Python that has larq and larq-compute-engine, to time these too.")
    ] = None,
    rounds: Annotated[int, Option(min=1, help="Timed rounds of a whole network; a layer has five times more.")] = 9,
    on: Annotated[
        str | None, Option("--on", help="With --app: the device, adb:SERIAL.", show_default="this machine")
    ] = None,
    in_app: Annotated[bool, Option("--app", help="Time --model in the Android app there.")] = False,
    model: Annotated[str | None, Option(help="With --app: id of a model that the app holds.")] = None,
) -> None:
    """Time our kernels against float32 and int8 in the stock runtimes: a layer, networks, a diffusion step.

    Exit codes: 0 all was timed, 1 something failed, 130 Ctrl-C; the rows that are there are written to
    results.partial.json then, so that an earlier complete results.json stays.
    """
    counts = _counts(threads)
    if in_app or on is not None:
        _bench_app(on, model, in_app=in_app, runtimes=_names(runtime), counts=counts, runs=rounds, folder=folder)
        return
    photos = picture or _PHOTOS if int8 else None
    missing = next((path for path in photos or [] if not path.is_file()), None)
    if missing is not None:
        raise UsageError(
            f"int8 is calibrated with photos, and there is no file {missing}; name photos by --picture, or leave int8 "
            "out by --no-int8"
        )
    _check_output(folder)
    from bitsr.validation.bench import run_bench

    result = run_bench(
        kernels=kernel,
        threads=counts,
        cases=_names(case),
        runtimes=_names(runtime),
        pictures=photos,
        larq_python=larq_python,
        rounds=rounds,
    )
    path = folder / (COMPLETE if result.complete else PARTIAL)
    content = result.report()
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if result.complete:
        (folder / PARTIAL).unlink(missing_ok=True)
    _print(result.rows, content)
    closing([path], then=["bitsr", "doctor"] if result.complete else [])
    if result.interrupted:
        raise KeyboardInterrupt
    if result.failures:
        first = result.failures[0]
        count = len(result.failures)
        others = f", and {count - 1} more" if count > 1 else ""
        raise BitsrError(f"not everything was timed: {first.line}{others}; --debug shows where") from first.error


def _bench_app(
    on: str | None,
    model: str | None,
    *,
    in_app: bool,
    runtimes: tuple[str, ...],
    counts: tuple[int, ...],
    runs: int,
    folder: Path,
) -> None:
    """Times of the app, and its own results in results.json: of one run its object, of several a list."""
    from statistics import median

    from bitsr.artifact.formats import FORMATS
    from bitsr.runtime.network import CORE
    from bitsr.validation.bench.app import AppOnDevice

    if not in_app:
        raise UsageError("--on times the Android app; add --app, or time bitsr-run there with: bitsr validate --on ...")
    if on is None or model is None:
        raise UsageError("--app takes the device and the model: --on adb:SERIAL --app --model ebsr_light_plus_x4")
    known = (CORE, *FORMATS)
    unknown = [name for name in runtimes if name not in known]
    if unknown:
        raise UsageError(f"the runtime is '{', '.join(unknown)}'; expected some of: {', '.join(known)}")
    _check_output(folder)
    app = AppOnDevice.find(on)
    found = [app.time(model, name, runs=runs, threads=count) for name in runtimes for count in counts]
    contents = [one.content for one in found]
    with atomic_write(folder / COMPLETE) as temporary:
        content = contents[0] if len(contents) == 1 else {"schema": 1, "models": contents}
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    table(
        f"{model} in the app, 128x128, medians of {runs}",
        ("runtime", "kernel", "threads", "ms", "least", "processor"),
        [
            (
                ", ".join(f"{name} {number}" for name, number in one.run.versions.items()),
                one.run.device.kernel,
                str(one.run.device.threads),
                f"{median(one.run.samples_ms):.2f}",
                f"{min(one.run.samples_ms):.2f}",
                f"{median(one.run.samples_cpu_ms):.2f}",
            )
            for one in found
        ],
        left=2,
    )
    note(f"device: {found[0].run.device.processor} ({found[0].run.device.machine})")
    closing([folder / COMPLETE], then=[])


def _print(rows: "list[Row]", content: dict[str, Any]) -> None:
    for name in dict.fromkeys(row.case for row in rows):
        chosen = [row for row in rows if row.case == name]
        _print_times(f"{name}, 128x128, medians", chosen)
        what = ", ".join(dict.fromkeys(row.network for row in chosen if row.ours))
        _print_ratios(f"{name}: how many times faster {what} is (by processor time)", chosen)
    table("conditions", ("", ""), _conditions(content), left=2)
    for text in content["notes"]:
        note(text)
    for what in content["left_out"]:
        note(f"left out: {what}")
    for what in content["failed"]:
        note(f"failed: {what}")


def _print_times(title: str, rows: "list[Row]") -> None:
    lines = []
    for row in rows:
        time = row.timing
        processor = "" if time.processor_median is None else f"{time.processor_median:.2f}"
        figures = (f"{time.median:.2f}", f"{time.least:.2f}", f"{time.p90:.2f}", processor)
        lines.append((row.network, row.runtime, row.kernel, row.host, str(row.threads), *figures))
    table(title, ("network", "runtime", "kernel", "in", "threads", "ms", "least", "p90", "processor"), lines, left=4)


def _print_ratios(title: str, rows: "list[Row]") -> None:
    """A line for each opponent, a column for each of ours, so that long names stand on the left."""
    from bitsr.validation.bench.rows import opponents, processor_ratio, ratio

    ours = [row for row in rows if row.ours]
    several = len({row.network for row in ours}) > 1
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    columns: dict[str, None] = {}
    for row in ours:
        column = f"{row.network}, {row.runtime} {row.kernel}" if several else f"{row.runtime} {row.kernel}"
        columns[column] = None
        for other in opponents(row, rows):
            processor = processor_ratio(row, other)
            cell = f"{ratio(row, other):.2f}" + ("" if processor is None else f" ({processor:.2f})")
            name = (other.network, f"{other.runtime} {other.kernel}", row.host, str(row.threads))
            lines.setdefault(name, {})[column] = cell
    if lines:
        shown = [(*name, *(cells.get(column, "") for column in columns)) for name, cells in lines.items()]
        table(title, ("than", "runtime", "in", "threads", *columns), shown, left=3)


def _conditions(content: dict[str, Any]) -> list[tuple[str, str]]:
    versions: dict[str, str | None] = content["versions"]
    shown = ("device", "instruction_sets", "cores", "load_before", "load_average", "build_type", "commit", "date")
    lines = [(name, str(content[name]).strip("[]").replace("'", "")) for name in shown]
    return [*lines, ("versions", ", ".join(f"{name} {number}" for name, number in versions.items()))]


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",")))


def _counts(text: str | None) -> tuple[int, ...]:
    if text is None:
        return tuple(dict.fromkeys((1, len(os.sched_getaffinity(0)))))
    try:
        counts = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise UsageError(f"--threads: '{text}' is no list of numbers like 1,2") from None
    if min(counts) < 1:
        raise UsageError(f"--threads: '{text}' has a number below 1; expected numbers from 1 on, as in 1,2")
    return counts


def _check_output(folder: Path) -> None:
    """Try to write the report, before minutes are spent on it."""
    make_folder(folder)
    for name in (COMPLETE, PARTIAL):
        check_writable(folder / name)
    with atomic_write(folder / "results.json.try") as temporary:
        temporary.write_text("", encoding="utf-8")
    (folder / "results.json.try").unlink()
