"""The plan: which models are trained, in which order, for how many steps."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bitsr.artifact.weights import embedded_weights
from bitsr.common.errors import UsageError
from bitsr.training.recipe import Recipe, find_recipe, load_recipe
from bitsr.training.zoo.legs import Leg


class Entry(BaseModel):
    """A cycle of a model's training: the recipe of its name, followed for ``steps`` steps.

    A model may have several cycles, each later in the plan; their steps add up. ``start`` names the weights that a
    cycle starts from: a file in the folder of the zoo, or a model whose shipped weights are taken (its own, mostly).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    steps: int = Field(ge=1)
    start: str | None = None


@dataclass(frozen=True)
class Cycle:
    """The cycle that is next: ``done`` of its steps are behind it, and ``before`` steps of the model's earlier ones."""

    recipe: Recipe
    name: str
    before: int
    done: int


def read_plan(path: Path) -> list[Entry]:
    """The entries of a plan, in order.

    Raises:
        UsageError: no such file, or it is no list of entries.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return [Entry.model_validate(entry) for entry in content]
    except (OSError, yaml.YAMLError, ValidationError, TypeError) as error:
        raise UsageError(
            f"cannot read the plan {path}: {' '.join(str(error).split())}; "
            "expected a list of '{model: MODEL_ID, steps: N}'"
        ) from error


def next_cycle(
    plan: list[Entry], legs: list[Leg], *, folder: Path, data: Path | None, overrides: list[str]
) -> Cycle | None:
    """The first cycle of a plan with steps left, or None where all are done.

    Args:
        folder: the folder of the zoo, for ``start``.
        data: where the recipes' picture folders lie; None leaves them as the recipes name them.
        overrides: ``key=value`` changes of the recipe.

    Raises:
        UsageError: a recipe is missing or wrong.
        WeightsError: the weights to start from are not shipped.
    """
    planned: Counter[str] = Counter()
    cycles: Counter[str] = Counter()
    for entry in plan:
        done = max((leg.last for leg in legs if leg.model == entry.model), default=0)
        before = planned[entry.model]
        planned[entry.model] += entry.steps
        cycles[entry.model] += 1
        if done < planned[entry.model]:
            recipe = load_recipe(find_recipe(entry.model), [*overrides, f"steps={entry.steps}"])
            if recipe.settings:
                raise UsageError(
                    f"the settings of '{entry.model}' were changed ({', '.join(recipe.settings)}), expected none: the "
                    "shipped weights are those of its id; train it by `bitsr train RECIPE`"
                )
            name = f"{entry.model}_cycle{cycles[entry.model]}"
            return Cycle(_placed(recipe, entry, folder=folder, data=data), name, before=before, done=done - before)
    return None


def _placed(recipe: Recipe, entry: Entry, *, folder: Path, data: Path | None) -> Recipe:
    """The recipe with the picture folders in ``data`` and the start of its cycle."""
    changes: dict[str, object] = {}
    if data is not None:
        train, validation = recipe.data.train, recipe.data.validation
        places = {
            "train": [data / path.name for path in train],
            "validation": None if validation is None else data / validation.name,
        }
        changes["data"] = recipe.data.model_copy(update=places)
    if entry.start is not None:
        file = folder / entry.start
        changes["init_from"] = str(file if file.is_file() else embedded_weights(entry.start))
    return recipe.model_copy(update=changes)
