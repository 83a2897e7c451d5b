"""The folder of one training: recipe, checkpoint, best weights, log."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bitsr.artifact.weights import WeightsInfo
from bitsr.common.errors import TrainingError, UsageError
from bitsr.common.files import atomic_write, make_folder
from bitsr.training.recipe import Recipe, resumed
from bitsr.training.weights import save_weights


@dataclass
class Position:
    """Where a training is: steps done, best validation PSNR in dB, seconds spent, the step its average started at."""

    step: int = 0
    best_psnr: float = float("-inf")
    seconds: float = 0.0
    averaged_from: int = 0


class RunFolder:
    """Files of a training in ``path``; all but the log are written atomically."""

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path = path
        self.recipe = recipe
        self.checkpoint = path / "last.pt"
        self.best = path / "best.safetensors"

    def check(self, *, resume: bool) -> None:
        """Refuse to overwrite a training, and to resume where there is none.

        Raises:
            UsageError: as said.
        """
        if resume and not self.checkpoint.is_file():
            raise UsageError(f"nothing to resume: there is no {self.checkpoint}; start without --resume")
        if self.checkpoint.is_file() and not resume:
            raise UsageError(f"{self.path} already holds a training; go on with --resume or choose another folder")

    def begin(self) -> None:
        """Create the folder and store the recipe, every default spelled out.

        Raises:
            BitsrError: the folder cannot be created or written.
        """
        make_folder(self.path)
        self.recipe.save(self.path / "recipe.yaml")

    def save(
        self, model: nn.Module, average: nn.Module, optimizers: list[torch.optim.Optimizer], position: Position
    ) -> None:
        """Write the checkpoint: everything that is needed to go on."""
        content = {
            "model": model.state_dict(),
            "average": average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "position": asdict(position),
            "id": self.recipe.model,
            "recipe": self.recipe.model_dump(mode="json"),
        }
        with atomic_write(self.checkpoint) as temporary:
            torch.save(content, temporary)

    def restore(self, model: nn.Module, average: nn.Module, optimizers: list[torch.optim.Optimizer]) -> Position:
        """Load the checkpoint into the given objects.

        Raises:
            TrainingError: the checkpoint is broken.
            UsageError: it belongs to another model or recipe, see :func:`bitsr.training.recipe.resumed`.
        """
        content = read_checkpoint(self.checkpoint)
        found = content["id"]
        if found != self.recipe.model:
            raise UsageError(f"{self.checkpoint} is a training of '{found}', the recipe says '{self.recipe.model}'")
        # A checkpoint of bitsr 0.1.0 holds no recipe.
        self.recipe = resumed(content.get("recipe", {}), self.recipe)
        position = Position(**content["position"])
        if position.step > self.recipe.steps:
            raise UsageError(
                f"{self.path} has {position.step} steps behind it, the recipe asks for {self.recipe.steps}; "
                "ask for more"
            )
        model.load_state_dict(content["model"])
        average.load_state_dict(content["average"])
        for optimizer, state in zip(optimizers, content["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        return position

    def keep_best(self, average: nn.Module, *, step: int) -> None:
        """Store the averaged weights in full precision."""
        info = WeightsInfo(
            model=self.recipe.model,
            settings=self.recipe.settings,
            steps=step,
            recipe=self.recipe.to_yaml(),
            data=[folder.name for folder in self.recipe.data.train],
        )
        save_weights(self.best, average.state_dict(), info)

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to ``log.jsonl``."""
        path = self.path / "log.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise TrainingError(
                f"cannot write {path}: {error.strerror or error}; make room, and go on from the last checkpoint "
                "with --resume"
            ) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What :meth:`RunFolder.save` wrote.

    Raises:
        TrainingError: the file is missing, broken, or of another version.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        missing = {"model", "average", "optimizers", "position", "id"} - content.keys()
        if missing:
            raise ValueError(f"it has no {', '.join(sorted(missing))}")
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"cannot read the checkpoint {path}: {reason}; start again in another folder, with "
            f"init_from={path.with_name('best.safetensors')} to keep its best weights"
        ) from error
    return content
