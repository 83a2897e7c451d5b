"""One leg of the relay: the next training of the plan goes on, is measured, and leaves the files to commit.

A fresh checkout continues what another machine began: the state of a running training lies in the repository. What a
leg needs of its own machine is the pictures; its checkpoint stays in ``runs/zoo``, so that an interrupted leg loses
minutes.
"""

import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from bitsr.artifact.weights import weights_folder
from bitsr.common.errors import TrainingError, UsageError
from bitsr.common.installation import checkout
from bitsr.training.publish import PackingLossError, Publication, publish
from bitsr.training.run import Position, RunFolder, read_checkpoint
from bitsr.training.trainer import StoppedError, train
from bitsr.training.zoo.legs import Leg, add_leg, read_legs, write_page
from bitsr.training.zoo.plan import next_cycle, read_plan
from bitsr.training.zoo.state import restore_state, save_state, state_steps

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Places:
    """Where the relay reads and writes: by default in the checkout that holds this package."""

    folder: Path
    weights: Path
    page: Path
    runs: Path

    @classmethod
    def of_checkout(cls) -> "Places":
        """The places of this checkout.

        Raises:
            UsageError: this bitsr is installed, so that there is no git to go on from.
        """
        root = checkout()
        if root is None:
            raise UsageError(
                "the plan of the shipped weights goes on in a checkout of bitsr; clone it and run it there"
            )
        folder = root / "training" / "zoo"
        return cls(folder=folder, weights=weights_folder(), page=root / "docs" / "zoo.md", runs=root / "runs" / "zoo")

    @property
    def plan(self) -> Path:
        return self.folder / "plan.yaml"

    @property
    def legs(self) -> Path:
        return self.folder / "legs.yaml"

    def state(self, cycle: str) -> Path:
        return self.folder / "state" / f"{cycle}.safetensors"


def train_next(
    places: Places, *, data: Path | None = None, minutes: float | None = None, overrides: list[str] | None = None
) -> Leg | None:
    """Go on with the plan's next training for ``minutes``, or to its end or until it is interrupted.

    The state of the training, its best weights where they measure higher than the shipped ones, their card and
    checksum, the table of legs and its page are brought up to date; the state of a finished training is removed.

    Args:
        data: the folder of the recipes' picture folders; None leaves them as the recipes name them.
        overrides: ``key=value`` changes of the recipe that a training may change while it runs.

    Returns:
        What the leg did, or None where every training of the plan is done.

    Raises:
        UsageError: the plan, its recipe or the pictures are missing; this is no checkout.
        TrainingError: the training failed, or its state is broken.
    """
    if not places.page.is_file():
        raise UsageError(f"there is no {places.page}: the relay works in a checkout of bitsr; use `bitsr train RECIPE`")
    legs = read_legs(places.legs)
    cycle = next_cycle(read_plan(places.plan), legs, folder=places.folder, data=data, overrides=overrides or [])
    if cycle is None:
        return None
    recipe = cycle.recipe
    run, state = RunFolder(places.runs / cycle.name, recipe), places.state(cycle.name)
    _take_state(run, state, done=cycle.done)
    start = _position(run) or Position()
    log.info("%s goes on at step %d of %d", cycle.name, start.step, recipe.steps)
    try:
        train(recipe, run_dir=run.path, resume=run.checkpoint.is_file(), minutes=minutes)
    except StoppedError as stopped:
        log.info("%s", stopped)
    now = _position(run)
    assert now is not None  # a training that stops or ends has saved its position
    save_state(run.checkpoint, state, recipe)
    result = _published(run, places) if run.best.is_file() else None
    if now.step >= recipe.steps and result is not None:
        # Of a finished training whose weights could not be shipped it is all that is left.
        state.unlink()
    leg = Leg(
        date=datetime.now(UTC).date().isoformat(),
        model=recipe.model,
        first=cycle.before + cycle.done,
        last=cycle.before + now.step,
        device=_device(recipe.threads),
        seconds=round((now.seconds - start.seconds) / max(now.step - start.step, 1), 3),
        psnr={name: figures["psnr"] for name, figures in result.measured.items()} if result else {},
        shipped=result is not None and result.taken,
    )
    write_page(places.page, add_leg(places.legs, leg))
    return leg


def _published(run: RunFolder, places: Places) -> Publication | None:
    """None where the best weights lose too much by packing to be shipped: the leg's steps count all the same."""
    try:
        return publish(run.path, folder=places.weights, only_if_better=True)
    except PackingLossError as error:
        log.warning("the best weights are not shipped: %s", error)
        return None


def _position(run: RunFolder) -> Position | None:
    return Position(**read_checkpoint(run.checkpoint)["position"]) if run.checkpoint.is_file() else None


def _take_state(run: RunFolder, state: Path, *, done: int) -> None:
    """Take the state of the repository where it is ahead of this machine's checkpoint."""
    here = _position(run)
    if state.is_file() and state_steps(state) > (here.step if here else 0):
        restore_state(state, run)
    elif done and here is None:
        raise TrainingError(
            f"{done} steps of {run.path.name} are done, but its state {state} is missing; restore it from git"
        )


def _device(threads: int) -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    count = threads or torch.get_num_threads()
    # More work than the training and its threads that cut pictures make: its seconds a step are no measure of the code.
    shared = ", shared" if os.getloadavg()[2] > count + 0.5 else ""
    return f"CPU with {torch.backends.cpu.get_cpu_capability()}, {count} thread{'s' if count > 1 else ''}{shared}"
