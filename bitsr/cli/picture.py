"""``bitsr upscale``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitsr.cli.console import TaskProgress, closing, error_line, note, progress
from bitsr.cli.options import Runtime
from bitsr.common.errors import BitsrError, UsageError
from bitsr.common.files import make_folder

if TYPE_CHECKING:
    from bitsr.inference.session import Sampling


def register(app: typer.Typer) -> None:
    app.command("upscale")(upscale)


def upscale(
    source: Annotated[Path, typer.Option("--input", "-i", help="Picture, or folder of pictures.")],
    target: Annotated[Path, typer.Option("--output", "-o", help="Picture, or folder.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Artefact (.pte, .tflite), weights file or model id.", show_default="built in"
        ),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option("--scale", "-s", min=1, help="Enlargement; picks the built-in weights.", show_default="4"),
    ] = None,
    runtime: Annotated[
        Runtime | None, typer.Option(help="What runs the network.", show_default="pte, or what the artefact is for")
    ] = None,
    tile: Annotated[int, typer.Option(min=1, help="Side of the largest tile, in input pixels.")] = 512,
    extension: Annotated[str, typer.Option("--format", help="File format of results of a folder.")] = "png",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out pictures whose output exists.")
    ] = False,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Sampling steps of a diffusion model.", show_default="50")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the noise that a diffusion model starts from.", show_default="0")
    ] = None,
) -> None:
    """Upscale a picture or a folder of pictures, of any size."""
    from bitsr.inference.load import load
    from bitsr.inference.plan import Existing, plan_file, plan_folder
    from bitsr.inference.session import SamplingSession
    from bitsr.inference.upscale import upscale_file

    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing exclude each other; give one of them")
    if not source.exists():
        raise UsageError(f"there is no file or folder {source}; name an existing picture or folder")
    existing: Existing = "overwrite" if overwrite else "skip" if skip_existing else "refuse"
    if source.is_dir():
        plan = plan_folder(source, target, extension=f".{extension.lower().lstrip('.')}", existing=existing)
    else:
        plan = plan_file(source, target, existing=existing)
    session = load(
        model,
        runtime=None if runtime is None else runtime.value,
        scale=scale,
        sampling=_sampling(steps, seed),
    )
    if source.is_dir():
        make_folder(target)

    failures = list(plan.failures)
    written = []
    with progress() as bar:
        task = bar.add_task(session.info.model, total=plan.pixels)
        if isinstance(session, SamplingSession):
            step_task = bar.add_task("steps of this tile", total=None)
            session.on_step = TaskProgress(bar, step_task)
        finished = 0
        for job in plan.jobs:
            try:
                result = upscale_file(
                    session,
                    job,
                    tile_pixels=tile**2,
                    progress=TaskProgress(bar, task, before=finished, total=plan.pixels),
                )
            except BitsrError as error:
                if not source.is_dir():
                    raise
                failures.append((job.source, error))
                continue
            finally:
                finished += job.pixels
                bar.update(task, completed=finished)
            written.append(result)
            width, height = result.size
            new_width, new_height = result.result_size
            note(f"{job.source.name}: {width}x{height} -> {new_width}x{new_height} in {result.seconds:.1f} s")
    for path in plan.skipped:
        note(f"{path} exists: left out")
    for _, failure in failures:
        error_line(str(failure))
    closing([target] if written else [], then=["bitsr", "demo", "-i", "PHOTO", "-o", "demo"])
    if failures:
        total = len(failures) + len(written) + len(plan.skipped)
        raise BitsrError(f"{len(failures)} of {total} pictures failed; the others are in {target}")


def _sampling(steps: int | None, seed: int | None) -> "Sampling | None":
    from bitsr.inference.session import Sampling

    if steps is None and seed is None:
        return None
    default = Sampling()
    return Sampling(default.steps if steps is None else steps, default.seed if seed is None else seed)
