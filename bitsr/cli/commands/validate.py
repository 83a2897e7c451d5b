"""``bitsr validate``."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from bitsr.cli.arguments import Argument, Commands, Option
from bitsr.cli.console import closing, note, table
from bitsr.cli.options import example
from bitsr.common.extras import needs

if TYPE_CHECKING:
    from bitsr.validation.results import Results, Run


def register(app: Commands) -> None:
    app.add(
        "validate",
        validate,
        short_help="Prove that artifacts compute what PyTorch does.",
        epilog=example("bitsr validate build/x4 --on host,native --images data/Set5"),
    )


def validate(
    source: Annotated[Path, Argument(help="Folder of an export, or one artifact.")],
    on: Annotated[
        str, Option("--on", help="Targets, comma-separated: host, native, qemu, qemu:CPU, unidbg, adb:SERIAL.")
    ] = "host",
    images: Annotated[Path | None, Option("--images", help="Folder of original pictures, or one picture.")] = None,
    report: Annotated[Path, Option("--output", "-o", help="Folder of results.json and report.html.")] = Path(
        "build/validation"
    ),
    weights: Annotated[
        Path | None, Option("--weights", help="What the artifact was exported from.", show_default="built in")
    ] = None,
    limit: Annotated[int | None, Option("--limit", min=1, help="Only so many of the images.")] = None,
    op: Annotated[int | None, Option(min=0, help="Only this op of the artifact, as failures name it.")] = None,
    seed: Annotated[int, Option(help="Of the golden picture that the ops are replayed with.")] = 0,
    threads: Annotated[str, Option(help="Thread counts of the times; n is all cores.")] = "1,n",
    runs: Annotated[
        int | None,
        Option(min=0, help="Timed runs; 0 measures no times.", show_default="5 to 50, in some seconds"),
    ] = None,
) -> int:
    """Prove that artifacts compute on targets what PyTorch computes, and measure how fast.

    Exit codes: 0 passed, 1 parity failed, 2 wrong request, 3 something is missing (the error says how to get it).
    """
    note("reading PyTorch and the runtimes ...")
    with needs("report", purpose="`bitsr validate`"):
        from bitsr.validation.validate import REPORT, RESULTS
        from bitsr.validation.validate import validate as run_validation

    results = run_validation(
        source,
        on=on,
        images=images,
        report=report,
        weights=weights,
        pictures=limit,
        op=op,
        seed=seed,
        threads=threads,
        runs=runs,
    )
    _print(results)
    closing([report / RESULTS, report / REPORT])
    return 0 if results.passed else 1


def _print(results: "Results") -> None:
    table(
        f"{'passed' if results.passed else 'FAILED'}: seed {results.seed}, {len(results.runs)} runs",
        ("artifact", "target", "verdict", "op checks", "whole", "PSNR", "time", "faster than float"),
        [_row(run) for run in results.runs],
        left=3,
    )
    for run in results.runs:
        for text in run.notes:
            note(f"{run.artifact} on {run.target}: {text}")
        for failure in run.failures:
            note(f"{run.artifact} on {run.target} failed: {failure.message}")
            note(f"  again: {failure.reproduce}")


def _row(run: "Run") -> tuple[str, ...]:
    passed = sum(not op.wrong for op in run.ops)
    agreement = [picture.agreement for picture in run.pictures] + [step.agreement for step in run.steps]
    difference = [picture.psnr - picture.eager_psnr for picture in run.pictures]
    first = next(iter(run.latency), None)
    time = (
        ""
        if first is None
        else f"{first.artifact.median_ms:.2f} ms, {first.threads} thread, {first.input_shape[3]}x{first.input_shape[2]}"
    )
    speedup = None if first is None else first.speedup
    return (
        run.artifact,
        run.target,
        run.verdict,
        f"{passed} of {len(run.ops)}" if run.ops else "",
        ("identical" if min(agreement) == math.inf else f"{min(agreement):.1f} dB") if agreement else "",
        f"{sum(difference) / len(difference):+.4f} dB" if difference else "",
        "parity only" if run.emulated else time,
        "" if speedup is None else f"{speedup:.1f} x",
    )
