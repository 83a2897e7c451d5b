"""The training loop: one explicit function over Lightning Fabric (devices, precision, distribution)."""

import argparse
import logging
import math
import sys
import time
from pathlib import Path

import torch
from lightning.fabric import Fabric
from lightning.fabric.utilities.exceptions import MisconfigurationException

from bitsr.common.errors import BitsrError, TrainingError, UsageError
from bitsr.training.binarizers.baselines import progressive_modules
from bitsr.training.criteria import CRITERIA
from bitsr.training.data import PairFolder, batches
from bitsr.training.distillation import Distillation
from bitsr.training.evaluate import check_set, evaluate
from bitsr.training.event_files import event_logger
from bitsr.training.interrupt import StopRequest
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import SuperResolutionModel, configured_model
from bitsr.training.optimizers import make_optimizers
from bitsr.training.progress import TrainingProgress
from bitsr.training.ranks import end_others, on_any, share_of_batch
from bitsr.training.recipe import Recipe, find_recipe, load_recipe
from bitsr.training.run import Position, RunFolder
from bitsr.training.schedule import Average, rate_factor, step_seed
from bitsr.training.weights import load_model, transfer_weights

log = logging.getLogger(__name__)


class StoppedError(TrainingError):
    """A training that was interrupted and can go on."""

    exit_code = 130


def train(recipe: Recipe, *, run_dir: Path, resume: bool = False, minutes: float | None = None) -> Path:
    """Train as the recipe says; returns the best weights (``best.safetensors`` in ``run_dir``).

    ``run_dir`` receives ``recipe.yaml``, ``last.pt`` (everything needed to go on), ``best.safetensors`` (the averaged
    weights with the best validation PSNR, or the last ones without validation), ``log.jsonl`` and TensorBoard files.
    With ``resume`` an interrupted training goes on where its last checkpoint was; on one device the result is the
    same, bit for bit, as without the interruption. The recipe must then be the one of the checkpoint, but for its
    length and how it runs (:data:`bitsr.training.recipe.FREE_ON_RESUME`).

    After ``minutes``, where given, it stops as if it had been interrupted.

    With several devices or nodes every process calls this function; Fabric starts them (``devices`` and ``nodes`` of
    the recipe, or its ``fabric run``), gradients are averaged by DistributedDataParallel, the first process
    validates and writes. The logged loss is that of the first process. All processes stop together, whichever of
    them was interrupted or met a loss that is not finite; the first one returns or raises, the others end here.

    Raises:
        UsageError: a picture folder is missing; the folder already holds a training and ``resume`` is not set, or the
            other way round; a recipe that is not that of the checkpoint; an accelerator or devices that this machine
            has not; a batch size that the devices cannot share.
        PictureError: a validation picture cannot be measured.
        TrainingError: the loss is not finite, or the training was interrupted (:class:`StoppedError`).
    """
    recipe.check_folders()
    begun = time.monotonic()
    run = RunFolder(Path(run_dir), recipe)
    run.check(resume=resume)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    fabric = _fabric(recipe, run.path)
    fabric.launch()
    batch_size = share_of_batch(recipe.batch_size, processes=fabric.world_size)
    if batch_size % recipe.accumulate:
        raise UsageError(
            f"a process has {batch_size} crops a step, which are no {recipe.accumulate} equal parts; choose an "
            "accumulate that divides them"
        )
    fabric.seed_everything(recipe.seed, verbose=False)

    data = PairFolder(
        recipe.data.train,
        scale=configured_model(recipe.model, recipe.settings).info.scale,
        patch=recipe.data.patch,
        cache=recipe.data.cache,
        on_broken=recipe.data.on_broken,
        low=recipe.data.low,
        degradation=recipe.data.degradation,
    )
    if recipe.data.validation is not None:
        check_set(recipe.data.validation, scale=data.scale)
    log.info("%d training pictures, %d too small for the crop", len(data), data.too_small)
    model = _initial_model(recipe, transfer=not resume)
    model.to(fabric.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizers = make_optimizers(model, recipe.optimizer, bfloat16=recipe.precision == "bf16")
    average = Average(model, decay=recipe.ema)
    position = run.restore(model, average.model, optimizers) if resume else Position()
    # An average that began anew from a state of the zoo counts its steps from there.
    average.mean_from = max(recipe.swa_from - position.averaged_from, 1) if recipe.swa_from else 0
    if fabric.is_global_zero:
        run.begin()
    guide = _guide(recipe, model, fabric)
    network, *updates = fabric.setup(torch.compile(model) if recipe.compile else model, *optimizers)

    started = time.monotonic() - position.seconds
    saved = time.monotonic()
    losses: list[torch.Tensor] = []
    network.train()
    progressive = list(progressive_modules(model))
    binary = [layer for layer in model.modules() if isinstance(layer, BinaryConv2d)] if recipe.binary_from else []
    # Compiled too: the gradient of the uncompiled absolute value alone takes as long as that of a layer.
    criterion = torch.compile(CRITERIA[recipe.loss]) if recipe.compile else CRITERIA[recipe.loss]
    progress = TrainingProgress(total=recipe.steps, first=position.step, enabled=fabric.is_global_zero)
    with progress, StopRequest() as stop:
        data.prepare(
            workers=recipe.data.workers,
            share=(fabric.global_rank, fabric.world_size),
            progress=progress.pictures(),
            stopped=lambda: stop.requested and fabric.world_size == 1,
        )
        fabric.barrier()
        feed = batches(
            data,
            size=batch_size,
            seed=recipe.seed,
            first_step=position.step,
            last_step=recipe.steps,
            rank=fabric.global_rank,
            workers=recipe.data.workers,
            # One process of several may not leave the others waiting for its gradients.
            stopped=lambda: stop.requested and fabric.world_size == 1,
        )
        for step, (low, high) in enumerate(feed, start=position.step):
            factor = rate_factor(recipe.schedule, step=step, steps=recipe.steps)
            for module in progressive:
                module.set_progress(step / recipe.steps)
            for layer in binary:
                layer.binary_weights = step >= recipe.binary_from
            for update in updates:
                for group in update.param_groups:
                    group["lr"] = group["peak"] * factor
                update.zero_grad(set_to_none=True)
            low, high = fabric.to_device((low, high))
            # What a loss draws (noise, timesteps, dropout) depends on the step alone, so a resumed training repeats it.
            torch.manual_seed(step_seed(recipe.seed, step=step, rank=fabric.global_rank))
            parts = list(zip(low.chunk(recipe.accumulate), high.chunk(recipe.accumulate), strict=True))
            loss = torch.zeros((), device=fabric.device)
            for number, (low_part, high_part) in enumerate(parts, start=1):
                with fabric.no_backward_sync(network, enabled=number < len(parts)):
                    part = model.training_loss(network, low_part, high_part, criterion=criterion)
                    if guide is not None:
                        part = part + guide.loss(low_part)
                    part = part / len(parts)
                    fabric.backward(part)
                loss = loss + part.detach()
            if recipe.clip_norm:
                fabric.clip_gradients(network, updates[0], max_norm=recipe.clip_norm)
            for update in updates:
                update.step()
            average.update(model, step=step + 1 - position.averaged_from)
            losses.append(loss)

            done = step + 1
            position.step, position.seconds = done, time.monotonic() - started
            validating = done % recipe.validate_every == 0 or done == recipe.steps
            due = fabric.is_global_zero and time.monotonic() - saved > 60 * recipe.checkpoint_minutes
            late = minutes is not None and time.monotonic() - begun > 60 * minutes
            stopping, due = on_any(fabric, stop.requested or late, due)
            saving = validating or stopping or due
            if saving or done % recipe.log_every == 0:
                mean = float(torch.stack(losses).mean())
                if any(on_any(fabric, not math.isfinite(mean))):
                    end_others(fabric)
                    raise TrainingError(_not_finite(mean, step=done, resumable=run.checkpoint.is_file()))
                losses.clear()
                rate = recipe.optimizer.lr * factor
                fabric.log_dict({"train/loss": mean, "train/lr": rate}, step=done)
                progress.update(done, loss=mean, lr=rate)
            if saving:
                failure: Exception | None = None
                if fabric.is_global_zero:
                    try:
                        if validating:
                            _validate(fabric, run, average.model, position, progress)
                        run.save(model, average.model, optimizers, position)
                    except Exception as error:  # raised below, when the others know that it goes no further
                        failure = error
                saved = time.monotonic()
                (failed,) = on_any(fabric, failure is not None)  # the others wait here for the first one
                if failed or (stopping and done < recipe.steps):
                    end_others(fabric)
                    raise failure or StoppedError(_stopped(position, recipe))
        if position.step < recipe.steps:  # asked to stop while it waited for pictures
            run.save(model, average.model, optimizers, position)
            raise StoppedError(_stopped(position, recipe))
    end_others(fabric)
    return run.best


def _fabric(recipe: Recipe, folder: Path) -> Fabric:
    try:
        return Fabric(
            accelerator=recipe.accelerator,
            devices=recipe.devices,
            num_nodes=recipe.nodes,
            precision="bf16-mixed" if recipe.precision == "bf16" else "32-true",
            loggers=event_logger(folder) if recipe.tensorboard else None,
        )
    except (RuntimeError, ValueError, MisconfigurationException) as error:
        raise UsageError(
            f"this machine cannot train on accelerator '{recipe.accelerator}', devices {recipe.devices}: "
            f"{' '.join(str(error).split())}"
        ) from error


def _initial_model(recipe: Recipe, *, transfer: bool) -> SuperResolutionModel:
    model = configured_model(recipe.model, recipe.settings)
    if recipe.init_from and transfer:
        result = transfer_weights(model, recipe.init_from)
        log.info("%d tensors taken from %s", len(result.taken), recipe.init_from)
        log.info("not taken, fresh: %s", ", ".join(result.fresh) or "none")
    return model


def _guide(recipe: Recipe, model: SuperResolutionModel, fabric: Fabric) -> Distillation | None:
    """The recipe's teacher beside ``model``; its blocks are watched only from here on, not those of the average."""
    if recipe.teacher.weights is None:
        return None
    teacher = load_model(recipe.teacher.weights)
    teacher.to(fabric.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    settings = recipe.teacher.model_dump(exclude={"weights"})
    return Distillation(model, teacher, **settings)


def _stopped(position: Position, recipe: Recipe) -> str:
    return f"stopped after step {position.step} of {recipe.steps}; go on with --resume"


def _not_finite(mean: float, *, step: int, resumable: bool) -> str:
    what = "not finite in another process" if math.isfinite(mean) else str(mean)
    again = "go on from the last checkpoint with --resume or start again" if resumable else "start again"
    return (
        f"the loss is {what} near step {step}, expected a finite number; lower optimizer.lr or set clip_norm, "
        f"and {again}"
    )


def _validate(
    fabric: Fabric, run: RunFolder, model: SuperResolutionModel, position: Position, progress: TrainingProgress
) -> None:
    """Measure the averaged weights and keep them where they are the best so far (always, without a set)."""
    folder = run.recipe.data.validation
    if folder is None:
        run.keep_best(model, step=position.step)
        return
    psnr = evaluate(
        model,
        folder=folder,
        scale=model.info.scale,
        bicubic=False,
        device=fabric.device,
        jpeg_quality=run.recipe.data.validation_jpeg,
    ).psnr
    fabric.log("validation/psnr", psnr, step=position.step)
    run.log({"step": position.step, "psnr": round(psnr, 4), "seconds": round(position.seconds, 1)})
    progress.message(f"step {position.step}: {folder.name} {psnr:.3f} dB")
    if psnr > position.best_psnr:
        position.best_psnr = psnr
        run.keep_best(model, step=position.step)


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
