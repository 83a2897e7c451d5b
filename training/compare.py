"""Train several models under equal conditions and measure them: one recipe, one seed, only the network differs."""

import argparse
import json
import logging
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from bitsr.common.errors import BitsrError, UsageError
from bitsr.common.files import atomic_write
from bitsr.training.evaluate import evaluate
from bitsr.training.models import model_info
from bitsr.training.recipe import Recipe, find_recipe, load_recipe
from bitsr.training.trainer import train
from bitsr.training.weights import load_model

Result = dict[str, Any]
RESULTS = "comparison.json"


def compare(recipe: Recipe, models: list[str], *, folder: Path, sets: list[Path]) -> list[Result]:
    """Train each model by ``recipe`` in ``folder/MODEL`` and measure the weights of the last step on ``sets``.

    A training that is done there is measured only, an interrupted one goes on. The validation set of the recipe is
    left out, so that no step is chosen by it. Results are ``{"model", "steps", "PSNR": {set: dB}}``; they stand in
    ``folder/comparison.json`` after each model.

    Raises:
        UsageError: no model, models of different scales or without the recipe's settings, or sets whose folders have
            the same name.
        TrainingError: a training fails or is interrupted; those before it are kept.
    """
    scales = {model_info(name, recipe.settings).scale for name in models}
    if len(scales) != 1:
        raise UsageError(
            f"the models have scales {sorted(scales)}, expected one scale, because PSNR differs by it; "
            "name models of one scale (--models), and compare each scale on its own"
        )
    named = Counter(path.name for path in sets)
    if twice := [name for name, count in named.items() if count > 1]:
        raise UsageError(
            f"several sets (--sets) are folders called {', '.join(twice)}, expected different names, because figures "
            "go by them; rename one, or name it through a link"
        )
    results: list[Result] = []
    for name in models:
        data = recipe.data.model_copy(update={"validation": None})
        best = _trained(
            recipe.model_copy(update={"model": name, "data": data, "validate_every": recipe.steps}), folder / name
        )
        model = load_model(best)
        figures = {path.name: evaluate(model, folder=path, scale=model.info.scale, bicubic=False).psnr for path in sets}
        results.append({"model": name, "steps": recipe.steps, "PSNR": figures})
        with atomic_write(folder / RESULTS) as temporary:
            temporary.write_text(
                json.dumps({"recipe": recipe.model_dump(mode="json"), "results": results}, indent=1), encoding="utf-8"
            )
        print(table(results[-1:]).splitlines()[-1], flush=True)
    return results


def _trained(recipe: Recipe, folder: Path) -> Path:
    torch.compiler.reset()  # models share code, and the compiler keeps only some variants of it
    return train(recipe, run_dir=folder, resume=(folder / "last.pt").is_file())


def table(results: list[Result]) -> str:
    """Markdown, the best on the first set first."""
    sets = list(results[0]["PSNR"])
    rows = sorted(results, key=lambda result: -result["PSNR"][sets[0]])
    lines = [f"| model | {' | '.join(sets)} |", "|---" * (len(sets) + 1) + "|"]
    for row in rows:
        figures = " | ".join(f"{row['PSNR'][name]:.2f}" for name in sets)
        lines.append(f"| `{row['model']}` | {figures} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """``python -m bitsr.training.compare RECIPE --models MODEL ... --sets DIR ... [--run-dir DIR] [key=value ...]``"""
    parser = argparse.ArgumentParser(prog="bitsr.training.compare", description="Train models by one recipe.")
    parser.add_argument("recipe", help="recipe file, or the name of one that comes with the package")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes, e.g. steps=500")
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--sets", nargs="+", type=Path, required=True, help="folders of pictures to measure on")
    parser.add_argument("--run-dir", type=Path, default=Path("runs/comparison"))
    options = parser.parse_intermixed_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # A list of folders or models ends at the next option only, so that changes behind it are among its items.
    changes = [item for item in (*options.overrides, *options.models, *map(str, options.sets)) if "=" in item]
    models = [model for model in options.models if "=" not in model]
    sets = [folder for folder in options.sets if "=" not in str(folder)]
    try:
        recipe = load_recipe(find_recipe(options.recipe), changes)
        results = compare(recipe, models, folder=options.run_dir, sets=sets)
    except BitsrError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(table(results))
    print(f"written: {options.run_dir / RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
