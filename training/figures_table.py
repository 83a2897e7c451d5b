"""Figures of several models on several folders, as JSON, Markdown or CSV."""

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bitsr.common.errors import UsageError
from bitsr.common.files import atomic_write
from bitsr.training.evaluate import Evaluation

_BICUBIC = "bicubic"


@dataclass(frozen=True)
class ModelFigures:
    """What was measured of one model: its id, what ran it ("training form in PyTorch", "runtime tflite"), its sets."""

    model: str
    form: str
    scale: int
    sets: tuple[Evaluation, ...]


def check_table_name(path: Path) -> None:
    """Refuse a file of another kind before anything is measured.

    Raises:
        UsageError: the suffix is none of .json, .md, .csv.
    """
    if path.suffix not in _WRITERS:
        raise UsageError(f"{path} is no {', '.join(_WRITERS)}; name the table by what it shall be")


def write_table(path: Path, results: Sequence[ModelFigures]) -> None:
    """Write the figures in the format of the suffix: JSON has every picture, Markdown and CSV have the means.

    Raises:
        UsageError: see :func:`check_table_name`.
    """
    check_table_name(path)
    with atomic_write(path) as temporary:
        temporary.write_text(_WRITERS[path.suffix](results), encoding="utf-8")


def _json(results: Sequence[ModelFigures]) -> str:
    return json.dumps({"models": [_content(result) for result in results]}, indent=2) + "\n"


def _content(result: ModelFigures) -> dict[str, object]:
    return {
        "model": result.model,
        "form": result.form,
        "scale": result.scale,
        "sets": {
            r.folder: {
                "psnr": r.psnr,
                "ssim": r.ssim,
                "bicubic_psnr": r.bicubic_psnr,
                "bicubic_ssim": r.bicubic_ssim,
                **({"lpips": r.lpips, "bicubic_lpips": r.bicubic_lpips} if has_lpips(r) else {}),
                "pictures": {
                    score.name: {"psnr": score.psnr, "ssim": score.ssim}
                    | ({"lpips": score.lpips} if has_lpips(r) else {})
                    for score in r.pictures
                },
            }
            for r in result.sets
        },
    }


def has_lpips(result: Evaluation) -> bool:
    """Whether LPIPS was measured."""
    return not math.isnan(result.lpips)


def _rows(results: Sequence[ModelFigures]) -> list[list[str]]:
    """A heading, and a row for each model behind one of bicubic interpolation at its scale."""
    sets = [r.folder for r in results[0].sets]
    figures = ["PSNR", "SSIM", *(["LPIPS"] if has_lpips(results[0].sets[0]) else [])]
    rows = [["model", "scale", *(f"{name} {figure}" for name in sets for figure in figures)]]
    for scale in sorted({result.scale for result in results}):
        group = [result for result in results if result.scale == scale]
        bicubic = [text for r in group[0].sets for text in _texts(r, r.bicubic_psnr, r.bicubic_ssim, r.bicubic_lpips)]
        rows.append([_BICUBIC, f"x{scale}", *bicubic])
        for result in group:
            own = [text for r in result.sets for text in _texts(r, r.psnr, r.ssim, r.lpips)]
            rows.append([result.model, f"x{scale}", *own])
    return rows


def _texts(result: Evaluation, psnr: float, ssim: float, lpips: float) -> list[str]:
    return [f"{psnr:.2f}", f"{ssim:.4f}", *([f"{lpips:.4f}"] if has_lpips(result) else [])]


def _markdown(results: Sequence[ModelFigures]) -> str:
    head, *rows = _rows(results)
    lines = [head, ["---"] * 2 + ["---:"] * (len(head) - 2), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _csv(results: Sequence[ModelFigures]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(_rows(results))
    return text.getvalue()


_WRITERS: dict[str, Callable[[Sequence[ModelFigures]], str]] = {".json": _json, ".md": _markdown, ".csv": _csv}
