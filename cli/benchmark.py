"""``bitsr bench``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from bitsr.cli.console import closing, note, table
from bitsr.cli.options import needs
from bitsr.common.errors import BitsrError
from bitsr.common.files import atomic_write


def register(app: typer.Typer) -> None:
    app.command("bench")(bench)


def bench(
    folder: Annotated[Path, typer.Option("--output", "-o", help="Folder of results.json.")] = Path("build/bench"),
    kernel: Annotated[
        list[str] | None, typer.Option(help="Our kernel; may be repeated.", show_default="all that run here")
    ] = None,
    threads: Annotated[str, typer.Option(help="Thread counts, separated by commas.")] = "1,2",
    rounds: Annotated[
        int, typer.Option(min=1, help="Timed rounds of a whole network; a layer has five times more.")
    ] = 9,
) -> None:
    """Time our kernels against XNNPACK in float32: one layer and whole networks, in one run."""
    with needs("executorch", "executorch", purpose="`bitsr bench`"):
        from bitsr.validation.bench import FLOAT_KERNEL, baselines, report, run_bench
    try:
        counts = tuple(int(part) for part in threads.split(","))
    except ValueError:
        raise typer.BadParameter(f"'{threads}' is no list of numbers like 1,2", param_hint="--threads") from None
    rows = run_bench(kernels=kernel, threads=counts, layer_rounds=5 * rounds, network_rounds=rounds, say=note)
    content = report(rows)
    lines = []
    for row in rows:
        ratios = [f"{row.ratio(other):.2f} x {other.network}" for other in baselines(row, rows) if other is not row]
        is_ours = row.kernel != FLOAT_KERNEL
        lines.append(
            (
                row.case,
                row.network,
                row.kernel,
                ", ".join(ratios) if is_ours else "",
                str(row.threads),
                f"{row.timing.median:.2f}",
                f"{row.timing.p90:.2f}",
            )
        )
    table(
        f"{content['device']}, {', '.join(content['instruction_sets'])}; input 128x128, float32 in and out, medians",
        ("case", "network", "kernel", "faster than XNNPACK fp32", "threads", "ms", "p90"),
        lines,
        left=4,
    )
    path = folder / "results.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BitsrError(f"cannot create the folder {folder}: {error.strerror}; choose another") from error
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    closing([path], then="bitsr doctor")
