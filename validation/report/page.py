"""From an outcome to ``report.html``: numbers become texts here, the template only places them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from bitsr.common.files import atomic_write
from bitsr.inference.upscale import to_8bit
from bitsr.training.evaluate import bicubic_upscaler
from bitsr.validation.parity.pictures import PictureOutput, TestPicture
from bitsr.validation.report.pictures import heat_gradient, heat_uri, picture_uri, window
from bitsr.validation.report.plots import Point, op_plot
from bitsr.validation.report.scores import agreement, difference, mean_difference, picture_rows, signed, step_rows
from bitsr.validation.report.times import faster, latency_rows, milliseconds, slowest
from bitsr.validation.results import Artifact, LayerError, OpResult, Run
from bitsr.validation.validate import Outcome

# Pictures that are shown, of each artifact; those that agree least.
SHOWN = 2
# Differences of that many steps of 255 are the brightest.
HEAT_SCALE = 4
# A smaller picture is enlarged to this width in CSS pixels, where the page has room.
MIN_SHOWN = 560

_LAYER_LEGEND = (("integer", "binary layers"), ("float", "gates, additions, shuffles"))
_CHECKS = {"packed bits": "bits", "values": "float"}
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
    whole = bool(results.images) or any(run.steps for run in results.runs)
    return environment.get_template("page.html.j2").render(
        results=results,
        title=", ".join(dict.fromkeys(artifact.model for artifact in results.artifacts)),
        date=results.date.replace("T", " ").replace("+00:00", " UTC"),
        failures=[(run, failure) for run in results.runs for failure in run.failures],
        timed=any(run.latency for run in results.runs),
        summary=[_summary(run, whole=whole) for run in results.runs],
        subjects=[_subject(artifact, outcome) for artifact in results.artifacts],
        devices=_devices(results.runs),
        heat=Markup(heat_gradient()),
        heat_scale=HEAT_SCALE,
        legend=_LEGEND,
        layer_legend=_LAYER_LEGEND,
    )


def _summary(run: Run, *, whole: bool) -> dict[str, Any]:
    wrong = [op for op in run.ops if op.wrong]
    first = next((entry for entry in run.latency), None)
    return {
        "run": run,
        "verdict": "fail" if not run.passed else ("ops pass" if whole and not (run.pictures or run.steps) else "pass"),
        "ops": f"{len(run.ops) - len(wrong)} of {len(run.ops)}" if run.ops else "",
        "exact": f"{sum(op.exact for op in run.ops if not op.wrong)} exactly" if run.ops else "",
        "ops_ok": not wrong,
        "parity": agreement([*run.pictures, *run.steps]),
        "psnr": f"{np.mean([picture.psnr for picture in run.pictures]):.2f} dB" if run.pictures else "",
        "difference": signed(mean_difference(run.pictures)),
        "time": "parity only"
        if run.emulated
        else (milliseconds(first.artifact.median_ms) if first is not None else ""),
        "times": faster(first) if first is not None else "",
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
            "kernel": f"{device.kernel} (of {', '.join([*device.isa, 'portable'])})" if device.kernel else "",
            "build": device.build,
            "recorded": ", ".join(f"{name} {text}" for name, text in device.notes.items()),
        }
        facts.update({name: text for name, text in new.items() if text})
        known = facts["runtimes"].split(", ") if "runtimes" in facts else []
        if versions:
            facts["runtimes"] = ", ".join(dict.fromkeys([*known, *versions]))
    return [{"target": target, "facts": list(facts.items())} for target, facts in found.items()]


def _subject(artifact: Artifact, outcome: Outcome) -> dict[str, Any]:
    runs = [run for run in outcome.results.runs if run.artifact == artifact.file]
    return {
        "artifact": artifact,
        "share": 100 * artifact.bytes / artifact.float_bytes,
        "smaller": artifact.float_bytes / artifact.bytes,
        "pictures": _pictures(artifact, runs, outcome),
        "scores": picture_rows(runs),
        "steps": step_rows(runs),
        "runs": [_run(run) for run in runs],
        "latency": [row for run in runs for entry in run.latency for row in latency_rows(run, entry)],
        "profiles": [(run.target, *slowest(run)) for run in runs if run.profile],
    }


def _pictures(artifact: Artifact, runs: list[Run], outcome: Outcome) -> list[dict[str, Any]]:
    """The pictures that agree least, each with what the slider compares and a heat map for every target."""
    samples = outcome.samples.get(artifact.file, [])
    done = {run.target: outcome.pictured.get((artifact.file, run.target), []) for run in runs}

    def worst(number: int) -> float:
        found = [items[number].result.parity_psnr for items in done.values() if number < len(items)]
        return min((value for value in found if value is not None), default=np.inf)

    shown = sorted(range(len(samples)), key=worst)[:SHOWN]
    enlarge = bicubic_upscaler(artifact.scale)
    return [
        _picture(
            samples[number],
            enlarge,
            {target: items[number] for target, items in done.items() if number < len(items)},
        )
        for number in shown
    ]


def _picture(sample: TestPicture, enlarge: Any, done: dict[str, PictureOutput]) -> dict[str, Any]:
    part = window(int(sample.high.shape[2]), int(sample.high.shape[3]))
    eager = to_8bit(np.asarray(sample.eager[0].numpy()))[part]
    layers = [
        ("bicubic", picture_uri(to_8bit(np.asarray(enlarge(sample.low)[0].numpy()))[part])),
        ("PyTorch", picture_uri(eager)),
        ("original", picture_uri(to_8bit(np.asarray(sample.high[0].numpy()))[part])),
    ]
    heats = []
    for target, item in done.items():
        layers.append((target, picture_uri(item.target[part])))
        heats.append(
            {
                "target": target,
                "uri": heat_uri(item.eager[part], item.target[part], full_scale=HEAT_SCALE),
                "text": difference(item.result),
            }
        )
    return {
        "name": sample.name,
        "width": eager.shape[1],
        "height": eager.shape[0],
        "shown": max(eager.shape[1], MIN_SHOWN),
        "low": f"{sample.low.shape[3]} x {sample.low.shape[2]}",
        "layers": layers,
        "right": layers[-1][0],
        "heats": heats,
    }


def _run(run: Run) -> dict[str, Any]:
    found = run.first_divergence
    text = ""
    if found is not None:
        text = (
            f"On {found.picture} the first op that is not bit-identical is op {found.index} "
            f"({found.kind.replace('_', ' ')}, {found.module}): {100 * found.differing:.2f} % of its values differ, "
            f"by at most {_number(found.largest_error)}. " + _flips(found.flipped, found.signs, found.first_flip)
        )
    elif run.layers:
        text = "On the picture that agrees least every op of our kernels is bit-identical to PyTorch's."
    counts = Counter("exact" if op.exact else "bounded" for op in run.ops if not op.wrong)
    return {
        "run": run,
        "plot": Markup(_replay_plot(run.ops)) if run.ops else "",
        "layers": Markup(_layer_plot(run.layers)) if run.layers else "",
        "divergence": text,
        "exact": counts["exact"],
        "bounded": counts["bounded"],
    }


def _number(value: float | None) -> str:
    return "what is no number" if value is None else f"{value:.2g}"


def _flips(flipped: int, signs: int, first: str) -> str:
    if not signs:
        return "No signs were compared."
    if not flipped:
        return f"None of {signs:,} signs flipped."
    return f"{flipped:,} of {signs:,} signs flipped ({100 * flipped / signs:.4f} %), the first in {first}."


def _replay_plot(ops: list[OpResult]) -> str:
    points = []
    for op in ops:
        style = "bad" if op.wrong else _CHECKS.get(op.check, "integer")
        error = "no number" if op.largest_error is None else f"largest error {op.largest_error:.3g}"
        value = (op.share if op.share is None or op.share > 0 else 0.0) if op.wrong else (op.share or 0.0)
        points.append(Point(op.index, value, style, f"op {op.index}, {op.kind}, {op.module}: {op.check}, {error}"))
    return op_plot(points, low=1e-4, high=100.0, limit=1.0, label="Error of each op as a share of its bound")


def _layer_plot(layers: list[LayerError]) -> str:
    points = [
        Point(
            layer.index,
            layer.relative_error,
            _layer_style(layer),
            f"op {layer.index}, {layer.kind}, {layer.module}: "
            + ("no number" if layer.relative_error is None else f"{layer.relative_error:.3g}"),
        )
        for layer in layers
    ]
    return op_plot(
        points,
        low=1e-9,
        high=1.0,
        limit=None,
        label="Relative error of each op's result in the whole network",
    )


def _layer_style(layer: LayerError) -> str:
    if layer.relative_error is None:
        return "bad"
    return "integer" if layer.kind == "binary_conv2d" else "float"
