"""``bitsr train``."""

from pathlib import Path
from typing import Annotated

from bitsr.cli.arguments import Argument, Commands, Option
from bitsr.cli.console import closing, note
from bitsr.cli.options import example
from bitsr.common.errors import UsageError
from bitsr.common.extras import needs


def register(app: Commands) -> None:
    app.add(
        "train",
        train,
        short_help="Train a model by a recipe.",
        epilog=example("bitsr train ebsr_light_plus_x4 optimizer.lr=1e-3 -o runs/mine"),
    )


def train(
    recipe: Annotated[str | None, Argument(help="Recipe file, or the name of one that comes with bitsr.")] = None,
    overrides: Annotated[list[str] | None, Argument(help="Changes as key=value, e.g. optimizer.lr=1e-3.")] = None,
    run_dir: Annotated[
        Path | None, Option("--run-dir", "-o", help="Folder of the training.", show_default="runs/RECIPE")
    ] = None,
    resume: Annotated[bool, Option("--resume", help="Go on with the training in the folder.")] = False,
    relay: Annotated[
        bool, Option("--next", help="Go on with what is next in the plan of the shipped weights (docs/zoo.md).")
    ] = False,
    minutes: Annotated[
        float | None, Option(min=0, help="Stop after so long; it can go on.", show_default="at the last step")
    ] = None,
    data: Annotated[
        Path | None, Option(help="With --next: where the picture folders lie.", show_default="data")
    ] = None,
) -> None:
    """Train a model by a recipe, or with --next go on with the shipped weights."""
    if relay:
        _train_next(recipe, overrides, minutes=minutes, data=data)
        return
    if recipe is None or data is not None:
        raise UsageError("`bitsr train` takes a RECIPE, or --next with --data; `ls training/recipes` names the recipes")
    with needs("train", purpose="training"):
        from bitsr.training.recipe import find_recipe, load_recipe
    path = find_recipe(recipe)
    checked = load_recipe(path, overrides)
    checked.check_folders()
    with needs("train", purpose="training"):
        from bitsr.training.trainer import train as run
    folder = run_dir or Path("runs") / path.stem
    weights = run(checked, run_dir=folder, resume=resume, minutes=minutes)
    validation = checked.data.validation
    closing([weights], then=["bitsr", "evaluate", weights, "--images", validation] if validation else [])


def _train_next(recipe: str | None, overrides: list[str] | None, *, minutes: float | None, data: Path | None) -> None:
    # The first argument is a recipe in the other form, and a change of the plan's recipe here.
    changes = [*([recipe] if recipe else []), *(overrides or [])]
    with needs("train", purpose="training"):
        from bitsr.training.zoo.relay import Places, train_next
    places = Places.of_checkout()
    leg = train_next(places, data=data, minutes=minutes, overrides=changes)
    if leg is None:
        note(f"every training of {places.plan} is done")
        return
    figures = ", ".join(f"{name} {psnr:.2f} dB" for name, psnr in leg.psnr.items())
    note(f"{leg.model}: steps {leg.first} to {leg.last}, {leg.seconds} s a step; {figures or 'not measured yet'}")
    closing([places.legs, places.page], then=["git", "add", places.folder, places.weights, places.page])
