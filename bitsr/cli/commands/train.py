"""``bitsr train``."""

from pathlib import Path
from typing import Annotated

import typer

from bitsr.cli.console import closing
from bitsr.cli.options import example
from bitsr.common.extras import needs


def register(app: typer.Typer) -> None:
    app.command("train", epilog=example("bitsr train ebsr_light_plus_x4 optimizer.lr=1e-3 -o runs/mine"))(train)


def train(
    recipe: Annotated[str, typer.Argument(help="Recipe file, or the name of one that comes with bitsr.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Changes as key=value, e.g. optimizer.lr=1e-3.")] = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", "-o", help="Folder of the training.", show_default="runs/RECIPE")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in the folder.")] = False,
) -> None:
    """Train a model by a recipe."""
    from bitsr.training.recipe import find_recipe, load_recipe

    path = find_recipe(recipe)
    checked = load_recipe(path, overrides)
    checked.check_folders()
    with needs("train", purpose="training"):
        from bitsr.training.trainer import train as run
    folder = run_dir or Path("runs") / path.stem
    weights = run(checked, run_dir=folder, resume=resume)
    validation = checked.data.validation
    closing([weights], then=["bitsr", "evaluate", weights, "--set", validation] if validation else [])
