"""Turn the best weights of a run into the weights that come with the package, with a model card of measured figures."""

import argparse
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from bitsr.artifact.weights import WeightsInfo, read_weights_info, weights_folder
from bitsr.common.errors import BitsrError, UsageError, WeightsError
from bitsr.common.files import atomic_write
from bitsr.training.evaluate import Evaluation, evaluate
from bitsr.training.models import create_model
from bitsr.training.weights import load_weights, save_packed, write_checksum

# Packing rounds the float head, tail and gates. The weights' signs stay, but those of values near a threshold change in
# all layers behind: two states of a network of 16 blocks lost 0.011 and 0.012 dB, by chance (docs/zoo.md). More than
# this means something is wrong.
LARGEST_PSNR_LOSS = 0.02
# Qualities of JPEG at which weights for photos are measured too.
PHOTO_QUALITIES = (80, 40)
# The sets that papers report.
BENCHMARKS = ("Set5", "Set14", "B100")


@dataclass(frozen=True)
class Publication:
    """The weights file of a model and its header now, the figures of the candidate, and whether it was taken."""

    path: Path
    info: WeightsInfo
    measured: dict[str, dict[str, float]]
    taken: bool


class PackingLossError(WeightsError):
    """Weights lose more by being packed than is let pass."""


def publish(
    run_dir: Path,
    *,
    folder: Path,
    sets: list[Path] | None = None,
    notes: list[str] | None = None,
    only_if_better: bool = False,
) -> Publication:
    """Measure the best weights of ``run_dir`` on ``sets`` as they are stored; write them and their card to ``folder``.

    Of binary convolutions signs and scales are stored, all else in half precision; the folder's table of checksums
    is brought up to date. By default the sets are those of the literature that lie beside the recipe's validation
    folder, and the card has the notes on the training data that the recipe has. With ``only_if_better`` existing
    weights stay where their mean PSNR over the same sets is not lower.

    Raises:
        UsageError: no sets are given and none found, a picture folder is missing, or a PSNR is infinite.
        WeightsError: no weights in the run, or storing them loses more than :data:`LARGEST_PSNR_LOSS` dB on the first
            set.
    """
    best = run_dir / "best.safetensors"
    info = read_weights_info(best)
    if info.settings:
        raise UsageError(
            f"the settings of '{info.model}' were changed ({', '.join(info.settings)}), expected none; "
            "register the network under an id of its own (docs/new_block.md)"
        )
    model = create_model(info.model)
    load_weights(model, best)
    content = yaml.safe_load(info.recipe)
    sets = sets or _benchmarks(content["data"].get("validation"))
    notes = content["data"].get("notes", []) if notes is None else notes
    info = replace(info, recipe=_portable(content))
    target = folder / f"{info.model}.safetensors"
    candidate = run_dir / "packed.safetensors"
    save_packed(candidate, model, info)

    scale = model.info.scale
    full = evaluate(model, folder=sets[0], scale=scale, bicubic=False).psnr
    load_weights(model, candidate)
    qualities = (None, *(PHOTO_QUALITIES if content["data"].get("degradation", {}).get("share") else ()))
    results = [evaluate(model, folder=path, scale=scale, jpeg_quality=q) for path in sets for q in qualities]
    if results[0].psnr < full - LARGEST_PSNR_LOSS:
        raise PackingLossError(
            f"packing loses {full - results[0].psnr:.3f} dB on {results[0].folder}, expected at most "
            f"{LARGEST_PSNR_LOSS}; train on, or raise the limit on purpose"
        )
    figures = {result.folder: _figures(result) for result in results}
    endless = [name for name, values in figures.items() if not all(map(math.isfinite, values.values()))]
    if endless:
        raise UsageError(
            f"a PSNR on {endless[0]} is not finite: a picture is met exactly, as one of a single colour is; measure on "
            "photos"
        )
    info = replace(info, figures=figures)
    if only_if_better and target.is_file():
        current = read_weights_info(target)
        if _mean_psnr(current, list(figures)) >= _mean_psnr(info, list(figures)):
            return Publication(target, current, figures, taken=False)
    save_packed(target, model, info)
    write_checksum(target)
    with atomic_write(target.with_suffix(".md")) as temporary:
        temporary.write_text(
            model_card(info, full_psnr=full, set_name=results[0].folder, notes=notes), encoding="utf-8"
        )
    return Publication(target, info, figures, taken=True)


def _portable(recipe: dict[str, Any]) -> str:
    """The recipe as YAML, its picture folders below ``data`` and its start named by the file alone."""
    data = dict(recipe["data"])
    data["train"] = [f"data/{Path(folder).name}" for folder in data["train"]]
    if data.get("validation"):
        data["validation"] = f"data/{Path(data['validation']).name}"
    start = recipe.get("init_from")
    content = {**recipe, "data": data, "init_from": start and Path(start).name}
    return yaml.safe_dump(content, sort_keys=False)


def _benchmarks(validation: str | None) -> list[Path]:
    beside = [] if validation is None else [Path(validation).parent / name for name in BENCHMARKS]
    found = [path for path in beside if path.is_dir()]
    if not found:
        raise UsageError(
            f"no folder to measure on: the recipe's validation folder is {validation}, and none of "
            f"{', '.join(BENCHMARKS)} lies beside it; name folders with --sets"
        )
    return found


def _figures(result: Evaluation) -> dict[str, float]:
    return {
        "psnr": round(result.psnr, 3),
        "ssim": round(result.ssim, 4),
        "bicubic_psnr": round(result.bicubic_psnr, 3),
        "bicubic_ssim": round(result.bicubic_ssim, 4),
    }


def _mean_psnr(info: WeightsInfo, sets: list[str]) -> float:
    return sum(info.figures[name]["psnr"] if name in info.figures else float("-inf") for name in sets) / len(sets)


def model_card(info: WeightsInfo, *, full_psnr: float, set_name: str, notes: list[str]) -> str:
    """Markdown with the measured figures, the training data with notes on their origin and terms, and the recipe."""
    facts = create_model(info.model).info
    rows = [
        f"| {name} | {f['psnr']:.2f} | {f['ssim']:.4f} | {f['bicubic_psnr']:.2f} | {f['bicubic_ssim']:.4f} |"
        for name, f in info.figures.items()
    ]
    packed_psnr = info.figures[set_name]["psnr"]
    lines = [
        f"# {info.model}",
        "",
        f"1-bit super-resolution, x{facts.scale}; {facts.channels} channels, {facts.config['blocks']} blocks.",
        f"{facts.paper}.",
        "",
        "| set | PSNR (dB) | SSIM | bicubic PSNR (dB) | bicubic SSIM |",
        "|---|---|---|---|---|",
        *rows,
        "",
        "Protocol: MATLAB-compatible bicubic reduction to 8 bit, output rounded to 8 bit, luminance of BT.601,",
        f"{facts.scale} pixels left out at each border, mean over the pictures. Measured with the stored",
        "weights (signs and scales of binary convolutions, all else in half precision), computed in fp32.",
        f"{set_name}: {full_psnr:.3f} dB in full precision, {packed_psnr:.3f} dB as stored.",
        "",
        f"Trained for {info.steps} steps on {', '.join(info.data)}.",
        "Check the terms of these pictures before using the weights commercially.",
        "",
        *(f"- {note}" for note in notes),
        *([""] if notes else []),
        "Recipe:",
        "",
        "```yaml",
        info.recipe.rstrip(),
        "```",
        "",
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """``python -m bitsr.training.publish RUN_DIR [--sets DIR ...] [--note TEXT ...] [--only-if-better]``"""
    parser = argparse.ArgumentParser(prog="bitsr.training.publish", description="Publish the best weights of a run.")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument(
        "--sets", type=Path, nargs="+", help=f"default: {', '.join(BENCHMARKS)} beside the recipe's validation folder"
    )
    parser.add_argument(
        "--note", action="append", help="origin and terms of the training data (default: data.notes of the recipe)"
    )
    parser.add_argument("--only-if-better", action="store_true", help="keep existing weights that measure higher")
    options = parser.parse_args(arguments)
    try:
        result = publish(
            options.run_dir,
            sets=options.sets,
            folder=weights_folder(),
            notes=options.note,
            only_if_better=options.only_if_better,
        )
    except BitsrError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for name, figures in result.measured.items():
        print(f"{name}: {figures['psnr']:.3f} dB / {figures['ssim']:.4f} (bicubic {figures['bicubic_psnr']:.3f} dB)")
    if not result.taken:
        print("kept the weights that are there: they measure as high or higher")
    size = result.path.stat().st_size
    print(f"weights: {result.path} ({size / 1e6:.2f} MB), card: {result.path.with_suffix('.md')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
