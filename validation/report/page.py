"""From an outcome to ``report.html``: numbers become texts here, the template only places them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from bitsr.common.files import atomic_write
from bitsr.validation.report.networks import HEAT_SCALE, networks
from bitsr.validation.report.pictures import heat_gradient
from bitsr.validation.report.proof import heading, proved
from bitsr.validation.report.scores import agreement, mean_difference, signed
from bitsr.validation.report.times import faster, milliseconds
from bitsr.validation.results import Run
from bitsr.validation.validate import Outcome

_LAYER_LEGEND = (("integer", "binary layers"), ("float", "gates, additions, shuffles"))
_LEGEND = (
    ("integer", "integer accumulators"),
    ("bits", "packed bits"),
    ("float", "float values"),
    ("bad", "wrong"),
)


def write_report(path: Path, outcome: Outcome) -> None:
    """Write the page completely or not at all."""
    page = render(outcome)
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render(outcome: Outcome) -> str:
    """The page as one text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(default_for_string=True, default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    results = outcome.results
    return environment.get_template("page.html.j2").render(
        results=results,
        title=", ".join(dict.fromkeys(artifact.model for artifact in results.artifacts)),
        heading=heading(results),
        proved=proved(results),
        date=results.date.replace("T", " ").replace("+00:00", " UTC"),
        failures=[(run, failure) for run in results.runs for failure in run.failures],
        timed=any(run.latency for run in results.runs),
        doubted=any(entry.doubts for run in results.runs for entry in run.latency),
        summary=[_summary(run) for run in results.runs],
        networks=networks(outcome),
        devices=_devices(results.runs),
        heat=Markup(heat_gradient()),
        heat_scale=HEAT_SCALE,
        legend=_LEGEND,
        layer_legend=_LAYER_LEGEND,
    )


def _summary(run: Run) -> dict[str, Any]:
    wrong = [op for op in run.ops if op.wrong]
    first = next((entry for entry in run.latency), None)
    return {
        "run": run,
        "ops": f"{len(run.ops) - len(wrong)} of {len(run.ops)}" if run.ops else "",
        "ops_ok": not wrong,
        "parity": agreement([*run.pictures, *run.steps]),
        "psnr": f"{np.mean([picture.psnr for picture in run.pictures]):.2f} dB" if run.pictures else "",
        "difference": signed(mean_difference(run.pictures)),
        "time": "parity only"
        if run.emulated
        else (milliseconds(first.artifact.median_ms) if first is not None else ""),
        "threads": "" if first is None or run.emulated else f"{first.threads} thread{'s' if first.threads > 1 else ''}",
        "times": faster(first) if first is not None else "",
        "doubtful": any(entry.doubts for entry in run.latency),
    }


def _devices(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Every target once, with what all its runs say."""
    found: dict[str, dict[str, str]] = {}
    for run in runs:
        facts, device = found.setdefault(run.target, {}), run.device
        versions = [f"{name} {text}" for name, text in device.versions.items()]
        new = {
            "machine": device.machine,
            "system": device.system,
            "processor": device.processor,
            "kernel": f"{device.kernel} (of {', '.join(device.isa)})" if device.kernel else "",
            "build": device.build,
            "recorded": ", ".join(f"{name} {text}" for name, text in device.notes.items()),
        }
        facts.update({name: text for name, text in new.items() if text})
        known = facts["runtimes"].split(", ") if "runtimes" in facts else []
        if versions:
            facts["runtimes"] = ", ".join(dict.fromkeys([*known, *versions]))
    return [{"target": target, "facts": list(facts.items())} for target, facts in found.items()]
