"""A network of the report: the artifacts of the same weights together, because their pictures are the same."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from bitsr.inference.tiled import to_8bit
from bitsr.training.evaluate import bicubic_upscaler
from bitsr.validation.parity.pictures import PictureOutput, TestPicture
from bitsr.validation.report.pictures import heat_uri, picture_uri, window
from bitsr.validation.report.plots import Point, op_plots
from bitsr.validation.report.scores import difference, picture_rows, step_rows
from bitsr.validation.report.times import doubts, latency_rows, op_rows
from bitsr.validation.results import Artifact, LayerError, OpResult, Run
from bitsr.validation.validate import Outcome

# Pictures that are shown, of each network; those that agree least.
SHOWN = 2
# Differences of that many steps of 255 are the brightest.
HEAT_SCALE = 4
# A smaller picture is enlarged to this width in CSS pixels, where the page has room.
MIN_SHOWN = 560
_CHECKS = {"packed bits": "bits", "values": "float"}


def networks(outcome: Outcome) -> list[dict[str, Any]]:
    """A section of the page for each set of weights."""
    groups: dict[tuple[str, str], list[Artifact]] = {}
    for artifact in outcome.results.artifacts:
        groups.setdefault((artifact.model, artifact.weights_sha256), []).append(artifact)
    return [_network(artifacts, outcome) for artifacts in groups.values()]


def _network(artifacts: list[Artifact], outcome: Outcome) -> dict[str, Any]:
    files = [artifact.file for artifact in artifacts]
    runs = [run for run in outcome.results.runs if run.artifact in files]
    largest = max(max(artifact.bytes, artifact.float_bytes) for artifact in artifacts)
    sizes = [("float32 weights", artifacts[0].float_bytes, True)]
    sizes += [(artifact.file, artifact.bytes, False) for artifact in artifacts]
    return {
        "model": artifacts[0].model,
        "scale": artifacts[0].scale,
        "files": files,
        "pictures": _pictures(artifacts, runs, outcome),
        "scores": picture_rows(runs),
        "steps": step_rows(runs),
        "runs": [_run(run) for run in runs],
        "latency": [row for run in runs for entry in run.latency for row in latency_rows(run, entry)],
        "doubts": doubts(runs, load_average=outcome.results.load_average),
        "profiles": [(run, *op_rows(run)) for run in runs if run.profile],
        "sizes": [
            {
                "name": name,
                "bytes": f"{count:,}",
                "bar": 100 * count / largest,
                "whole": whole,
                "smaller": "" if whole else f"{artifacts[0].float_bytes / count:.1f} x smaller",
            }
            for name, count, whole in sizes
        ],
    }


def _pictures(artifacts: list[Artifact], runs: list[Run], outcome: Outcome) -> list[dict[str, Any]]:
    """The pictures that agree least, each with what the slider compares and a heat map for every different result."""
    samples = outcome.samples.get(artifacts[0].file, [])
    done = {_label(run, artifacts): outcome.pictured.get((run.artifact, run.target), []) for run in runs}

    def worst(number: int) -> float:
        return min((items[number].result.agreement for items in done.values() if number < len(items)), default=np.inf)

    shown = sorted(range(len(samples)), key=worst)[:SHOWN]
    enlarge = bicubic_upscaler(artifacts[0].scale)
    return [
        _picture(samples[number], enlarge, {name: items[number] for name, items in done.items() if number < len(items)})
        for number in shown
    ]


def _label(run: Run, artifacts: list[Artifact]) -> str:
    """What a result is called: by its target, and its format where there are several."""
    kind = next(artifact.kind for artifact in artifacts if artifact.file == run.artifact)
    return run.target if len(artifacts) == 1 else f"{run.target} .{kind}"


def _picture(sample: TestPicture, enlarge: Any, done: dict[str, PictureOutput]) -> dict[str, Any]:
    part = window(int(sample.high.shape[2]), int(sample.high.shape[3]))
    eager = to_8bit(np.asarray(sample.eager[0].numpy()))[part]
    layers = [
        ("bicubic", picture_uri(to_8bit(np.asarray(enlarge(sample.low)[0].numpy()))[part])),
        ("PyTorch", picture_uri(eager)),
        ("original", picture_uri(to_8bit(np.asarray(sample.high[0].numpy()))[part])),
    ]
    heats = []
    for name, item in _distinct(done).items():
        layers.append((name, picture_uri(item.target[part])))
        heats.append(
            {
                "name": name,
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


def _distinct(done: dict[str, PictureOutput]) -> dict[str, PictureOutput]:
    """Results that are the same picture once, under all their names."""
    found: list[tuple[list[str], PictureOutput]] = []
    for name, item in done.items():
        same = next((names for names, other in found if np.array_equal(other.target, item.target)), None)
        if same is None:
            found.append(([name], item))
        else:
            same.append(name)
    return {", ".join(names): item for names, item in found}


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
    return {
        "run": run,
        "plot": Markup(_replay_plot(run.ops)) if run.ops else "",
        "layers": Markup(_layer_plot(run.layers)) if run.layers else "",
        "divergence": text,
        "exact": sum(not op.wrong for op in run.ops),
    }


def _number(value: float | None) -> str:
    return "what is no number" if value is None else f"{value:.2g}"


def _flips(flipped: int, signs: int, first: str) -> str:
    if not signs:
        return "No signs were compared."
    if not flipped:
        return f"None of {signs:,} signs flipped."
    return f"{flipped:,} of {signs:,} signs flipped ({100 * flipped / signs:.4f} %), the first in {first}."


def _replay_plot(ops: Sequence[OpResult]) -> str:
    points = []
    for op in ops:
        style = "bad" if op.wrong else _CHECKS.get(op.check, "integer")
        error = "no number" if op.largest_error is None else f"largest error {op.largest_error:.3g}"
        points.append(
            Point(op.index, op.largest_error, style, f"op {op.index}, {op.kind}, {op.module}: {op.check}, {error}")
        )
    return op_plots(points, low=1e-9, high=100.0, label="Largest error of each op")


def _layer_plot(layers: Sequence[LayerError]) -> str:
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
    return op_plots(
        points,
        low=1e-9,
        high=1.0,
        label="Relative error of each op's result in the whole network",
    )


def _layer_style(layer: LayerError) -> str:
    if layer.relative_error is None:
        return "bad"
    return "integer" if layer.kind == "binary_conv2d" else "float"
