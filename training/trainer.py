"""The training loop: one explicit function over Lightning Fabric (devices, precision, distribution)."""

import argparse
import copy
import json
import logging
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.fabric import Fabric
from lightning.fabric.loggers.tensorboard import TensorBoardLogger
from torch import nn

from bitsr.common.errors import BitsrError, TrainingError, UsageError
from bitsr.common.files import atomic_write
from bitsr.training.weights import WeightsInfo, save_weights, transfer_weights
from bitsr.training.data import PairFolder, batches
from bitsr.training.evaluate import evaluate
from bitsr.training.models import SuperResolutionModel, create_model
from bitsr.training.progress import TrainingProgress
from bitsr.training.recipe import Recipe, Schedule, find_recipe, load_recipe

log = logging.getLogger(__name__)

CHECKPOINT = "last.pt"
BEST = "best.safetensors"
RECIPE = "recipe.yaml"


def learning_rate(schedule: Schedule, *, peak: float, step: int, steps: int) -> float:
    """Learning rate of step ``step`` (0-based) of ``steps``."""
    if step < schedule.warmup:
        return peak * (step + 1) / schedule.warmup
    if schedule.kind == "step":
        return peak * schedule.gamma ** (step // schedule.every)
    if schedule.kind == "cosine":
        done = (step - schedule.warmup) / max(steps - schedule.warmup, 1)
        return peak * (schedule.final + (1 - schedule.final) * 0.5 * (1 + math.cos(math.pi * done)))
    return peak


class Average:
    """Exponential moving average of a model's parameters, with a warm-up; buffers are copied.

    After step t (1-based) the decay is ``min(decay, (1 + t) / (10 + t))``; decay 0 is the model itself.
    """

    def __init__(self, model: SuperResolutionModel, *, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, *, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step)) if self.decay else 0.0
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - decay)
        for own, other in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(other)


def train(recipe: Recipe, *, run_dir: Path, resume: bool = False) -> Path:
    """Train as the recipe says; returns the best weights (``best.safetensors`` in ``run_dir``).

    ``run_dir`` receives ``recipe.yaml``, ``last.pt`` (everything needed to go on), ``best.safetensors`` (the averaged
    weights with the best validation PSNR, or the last ones without validation), ``log.jsonl`` and TensorBoard files.
    With ``resume`` an interrupted training goes on exactly where its last checkpoint was.

    Raises:
        UsageError: the folder already holds a training and ``resume`` is not set, or the other way round.
        TrainingError: the loss is not a number.
    """
    run_dir = Path(run_dir)
    _check_run_dir(run_dir, resume=resume)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    fabric = Fabric(
        accelerator=recipe.accelerator,
        devices=recipe.devices,
        num_nodes=recipe.nodes,
        precision={"fp32": "32-true", "bf16": "bf16-mixed"}[recipe.precision],  # type: ignore[arg-type]
        loggers=TensorBoardLogger(run_dir, name="", version="tensorboard"),
    )
    fabric.launch()
    if recipe.batch_size % fabric.world_size:
        raise UsageError(f"batch_size {recipe.batch_size} is not a multiple of the {fabric.world_size} devices")
    fabric.seed_everything(recipe.seed, verbose=False)

    model = create_model(recipe.model)
    scale = model.info.scale
    if recipe.init_from and not resume:
        transfer = transfer_weights(model, recipe.init_from)
        log.info("%d tensors taken from %s; not taken: %s", len(transfer.taken), recipe.init_from,
                 ", ".join(transfer.fresh) or "none")
    data = PairFolder(
        recipe.data.train,
        scale=scale,
        patch=recipe.data.patch,
        cache_bytes=recipe.data.cache_mb << 20,
        on_broken=recipe.data.on_broken,
    )
    log.info("%d training pictures, %d too small for the crop", len(data), data.too_small)

    model = model.to(device=fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = Average(model, decay=recipe.ema)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=recipe.optimizer.lr, betas=recipe.optimizer.betas, eps=recipe.optimizer.eps, fused=True
    )
    state = {"step": 0, "best_psnr": float("-inf"), "seconds": 0.0}
    if resume:
        _restore(run_dir / CHECKPOINT, model, average, optimizer, state, recipe)
    elif fabric.is_global_zero:
        run_dir.mkdir(parents=True, exist_ok=True)
        recipe.save(run_dir / RECIPE)
    network, optimizer = fabric.setup(torch.compile(model) if recipe.compile else model, optimizer)

    def checkpoint() -> None:
        if fabric.is_global_zero:
            content = {"model": model.state_dict(), "average": average.model.state_dict(),
                       "optimizer": optimizer.state_dict(), "state": state, "recipe": recipe.model_dump(mode="json")}
            with atomic_write(run_dir / CHECKPOINT) as temporary:
                torch.save(content, temporary)

    def keep_best() -> None:
        info = WeightsInfo(model=recipe.model, steps=int(state["step"]), recipe=recipe.to_yaml(),
                           data=[folder.name for folder in recipe.data.train])
        save_weights(run_dir / BEST, average.model.state_dict(), info)

    def validate() -> None:
        if recipe.data.validation is None:
            keep_best()
            return
        psnr = evaluate(
            average.model, folder=recipe.data.validation, scale=scale, bicubic=False, device=fabric.device
        ).psnr
        fabric.log("validation/psnr", psnr, step=int(state["step"]))
        _append(run_dir, {"step": state["step"], "psnr": round(psnr, 4), "seconds": round(state["seconds"], 1)})
        progress.message(f"step {state['step']}: {recipe.data.validation.name} {psnr:.3f} dB")
        if psnr > state["best_psnr"]:
            state["best_psnr"] = psnr
            keep_best()

    first = int(state["step"])
    feed = batches(data, size=recipe.batch_size // fabric.world_size, seed=recipe.seed, first_step=first,
                   last_step=recipe.steps, rank=fabric.global_rank, workers=recipe.data.workers)
    started = time.monotonic() - state["seconds"]
    saved = time.monotonic()
    loss_sum, loss_count = torch.zeros((), device=fabric.device), 0
    network.train()
    with TrainingProgress(total=recipe.steps, first=first, enabled=fabric.is_global_zero) as progress:
        for step, (low, high) in enumerate(feed, start=first):
            rate = learning_rate(recipe.schedule, peak=recipe.optimizer.lr, step=step, steps=recipe.steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            low, high = fabric.to_device((low, high))
            optimizer.zero_grad(set_to_none=True)
            loss = F.l1_loss(network(low).float(), high)
            fabric.backward(loss)
            if recipe.clip_norm:
                fabric.clip_gradients(network, optimizer, max_norm=recipe.clip_norm)
            optimizer.step()
            average.update(model, step=step + 1)
            loss_sum += loss.detach()
            loss_count += 1
            state["step"] = step + 1
            state["seconds"] = time.monotonic() - started
            if (step + 1) % recipe.log_every == 0 or step + 1 == recipe.steps:
                mean = float(loss_sum) / loss_count
                if not math.isfinite(mean):
                    raise TrainingError(
                        f"the loss is {mean} near step {step + 1}; lower optimizer.lr or set clip_norm, and start again "
                        f"(the last checkpoint is in {run_dir})"
                    )
                fabric.log_dict({"train/loss": mean, "train/lr": rate}, step=step + 1)
                progress.update(step + 1, loss=mean, lr=rate)
                loss_sum.zero_()
                loss_count = 0
            last = step + 1 == recipe.steps
            validating = (step + 1) % recipe.validate_every == 0 or last
            if validating and fabric.is_global_zero:
                validate()
            if validating or time.monotonic() - saved > 60 * recipe.checkpoint_minutes:
                checkpoint()
                saved = time.monotonic()
            fabric.barrier()
    return run_dir / BEST


def _check_run_dir(run_dir: Path, *, resume: bool) -> None:
    has = (run_dir / CHECKPOINT).is_file()
    if resume and not has:
        raise UsageError(f"nothing to resume: {run_dir / CHECKPOINT} does not exist; start without --resume")
    if has and not resume:
        raise UsageError(f"{run_dir} already holds a training; go on with --resume or choose another folder")


def _restore(
    path: Path,
    model: nn.Module,
    average: Average,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
    recipe: Recipe,
) -> None:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(f"cannot read the checkpoint {path}: {error}; start again in another folder") from error
    if content["recipe"]["model"] != recipe.model:
        raise UsageError(f"{path} is a training of '{content['recipe']['model']}', the recipe says '{recipe.model}'")
    model.load_state_dict(content["model"])
    average.model.load_state_dict(content["average"])
    optimizer.load_state_dict(content["optimizer"])
    state.update(content["state"])


def _append(run_dir: Path, record: dict[str, Any]) -> None:
    with (run_dir / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """``python -m bitsr.training.trainer RECIPE [--run-dir DIR] [--resume] [key=value ...]``"""
    parser = argparse.ArgumentParser(prog="bitsr.training.trainer", description="Train a model by a recipe.")
    parser.add_argument("recipe", help="recipe file, or the name of one that comes with the package")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes, e.g. optimizer.lr=1e-3")
    parser.add_argument("--run-dir", type=Path, default=None, help="output folder (default: runs/RECIPE)")
    parser.add_argument("--resume", action="store_true", help="go on with the training in the output folder")
    options = parser.parse_intermixed_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        path = find_recipe(options.recipe)
        recipe = load_recipe(path, options.overrides)
        best = train(recipe, run_dir=options.run_dir or Path("runs") / path.stem, resume=options.resume)
    except BitsrError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"weights: {best}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
