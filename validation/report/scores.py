"""How whole pictures and steps agree, as texts of the report."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bitsr.validation.results import PictureResult, Run, StepResult


def agreement(results: Sequence[PictureResult | StepResult]) -> str:
    """From what agrees least to what agrees most."""
    if not results:
        return ""
    order = sorted(result.agreement for result in results)
    return " to ".join(dict.fromkeys(decibels(value) for value in (order[0], order[-1])))


def decibels(value: float) -> str:
    """An agreement in words."""
    if math.isinf(value):
        return "identical" if value > 0 else "no agreement"
    return f"{value:.1f} dB"


def mean_difference(pictures: Sequence[PictureResult]) -> float | None:
    """Mean PSNR against the originals, less that of the eager reference."""
    return float(np.mean([p.psnr - p.eager_psnr for p in pictures])) if pictures else None


def signed(value: float | None) -> str:
    """A difference in dB, with its sign."""
    if value is None:
        return ""
    text = f"{value:+.4f} dB".replace("-", "\N{MINUS SIGN}")
    return "0.0000 dB" if text[1:] == "0.0000 dB" else text


def difference(result: PictureResult) -> str:
    """One picture in a line."""
    if result.parity_psnr is None:
        return "identical"
    return (
        f"{agreement([result])}; {100 * result.differing:.3f} % of the pixels differ, by at most "
        f"{result.largest} of 255"
    )


def picture_rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row for each picture on each target."""
    return [
        {
            "artifact": run.artifact,
            "target": run.target,
            "name": picture.name,
            "parity": agreement([picture]),
            "differing": f"{100 * picture.differing:.3f} %",
            "largest": picture.largest,
            "eager": f"{picture.eager_psnr:.2f} / {picture.eager_ssim:.4f}",
            "own": f"{picture.psnr:.2f} / {picture.ssim:.4f}",
            "difference": signed(picture.psnr - picture.eager_psnr),
        }
        for run in runs
        for picture in run.pictures
    ]


def step_rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row for each step on each target."""
    return [
        {
            "artifact": run.artifact,
            "target": run.target,
            "timestep": step.timestep,
            "parity": agreement([step]),
            "largest": "no number" if step.largest_difference is None else f"{step.largest_difference:.2g}",
            "share": _share(step),
        }
        for run in runs
        for step in run.steps
    ]


def _share(step: StepResult) -> str:
    if step.largest_difference is None or not step.range:
        return "\N{EN DASH}"
    return f"{100 * step.largest_difference / step.range:.2g} %"
