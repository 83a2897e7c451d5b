"""``bitsr upscale``."""

from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from bitsr.cli.arguments import Argument, Commands, Option
from bitsr.cli.console import closing, error_line, note, progress
from bitsr.cli.options import Runtime, example
from bitsr.common.errors import BitsrError, UsageError

if TYPE_CHECKING:
    from bitsr.inference.plan import Existing, Plan
    from bitsr.inference.session import Session
    from bitsr.inference.session_info import Sampling, SessionInfo

_EXAMPLES = example(
    "bitsr upscale photo.jpg",
    "bitsr upscale photo.jpg large.png -s 2",
    "bitsr upscale -i photos -o large --recursive --format jpg --quality 90",
)


def register(app: Commands) -> None:
    app.add("upscale", upscale, short_help="Upscale a picture or a folder of pictures.", epilog=_EXAMPLES)


def upscale(
    source_argument: Annotated[
        Path | None, Argument(metavar="INPUT", help="Picture, or folder of pictures.", show_default=False)
    ] = None,
    target_argument: Annotated[
        Path | None,
        Argument(metavar="OUTPUT", help="Picture, or folder.", show_default="beside INPUT, as photo_x4.png"),
    ] = None,
    source_option: Annotated[
        Path | None, Option("--input", "-i", help="The same as INPUT.", show_default=False)
    ] = None,
    target_option: Annotated[
        Path | None, Option("--output", "-o", help="The same as OUTPUT.", show_default=False)
    ] = None,
    scale: Annotated[
        int | None,
        Option("--scale", "-s", min=1, help="Enlargement; picks the built-in weights.", show_default="4"),
    ] = None,
    model: Annotated[
        str | None,
        Option(
            "--model", "-m", "-n", help="Model id, weights file or artifact (.tflite, .pte).", show_default="built in"
        ),
    ] = None,
    tile: Annotated[
        int | None,
        Option("--tile", "-t", min=0, help="Side of the largest tile, in input pixels.", show_default="512"),
    ] = None,
    extension: Annotated[
        str | None,
        Option("--format", "-f", help="Format of results: png, jpg, webp, tif or bmp.", show_default="png"),
    ] = None,
    quality: Annotated[
        int | None, Option(min=1, max=100, help="Of results in JPEG and WebP.", show_default="95")
    ] = None,
    recursive: Annotated[
        bool, Option("--recursive", "-r", help="Enter the sub-folders of a folder, and mirror them.")
    ] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace outputs that exist.")] = False,
    skip_existing: Annotated[bool, Option("--skip-existing", help="Leave out pictures whose output exists.")] = False,
    keep_gps: Annotated[bool, Option("--keep-gps", help="Keep the place in the EXIF data.")] = False,
    ensemble: Annotated[
        bool, Option("--tta", "-x", help="Average over the eight orientations: better, eight times slower.")
    ] = False,
    threads: Annotated[
        str | None, Option("--threads", "-j", help="Threads of the network.", show_default="all processors")
    ] = None,
    runtime: Annotated[
        Runtime | None, Option(help="What runs the network.", show_default="core, or what the artifact needs")
    ] = None,
    steps: Annotated[int | None, Option(min=1, help="Sampling steps of a diffusion model.", show_default="50")] = None,
    seed: Annotated[
        int | None, Option(min=0, help="Of the noise that a diffusion model starts from.", show_default="0")
    ] = None,
) -> None:
    """Upscale a picture or a folder of pictures, of any size.

    Results keep colour profile, transparency, resolution (DPI), and of the EXIF data camera, date, author and
    copyright; the pixels are turned as it says. Place (without --keep-gps), thumbnail, comments and XMP are left out.
    """
    source = _one(source_argument, source_option, name="input")
    if source is None:
        raise UsageError("there is no input; name a picture or a folder, as in `bitsr upscale photo.jpg`")
    if not source.exists():
        raise UsageError(f"there is no file or folder {source}; name an existing picture or folder")
    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing exclude each other; give one of them")
    count = None if threads is None else _threads(threads)
    plan, target = _plan(
        source,
        _one(target_argument, target_option, name="output"),
        scale=_scale(model, scale),
        extension=None if extension is None else f".{extension.lower().lstrip('.')}",
        existing="overwrite" if overwrite else "skip" if skip_existing else "refuse",
        recursive=recursive,
        quality=quality,
        keep_gps=keep_gps,
    )
    if plan.remark:
        note(plan.remark)
    if plan.jobs:
        from bitsr.inference.session_info import Sampling

        sampling = Sampling.asked(steps=steps, seed=seed)
        model = _built_in(plan, scale=scale) if model is None else model
        session = _open(model, runtime=runtime, scale=scale, threads=count, sampling=sampling, ensemble=ensemble)
        _note_tile(tile, session.info)
    written, failures, untried = _run(session, plan, tile=tile) if plan.jobs else (0, [], 0)
    for path in plan.skipped:
        note(f"{path} exists: left out")
    failures = [error for _, error in plan.failures] + failures
    if failures and not source.is_dir():
        raise failures[0]
    for error in failures:
        error_line(str(error))
    closing([target] if written else [])
    if failures:
        raise BitsrError(_summary(len(failures), written, len(plan.skipped), untried, target))


def _one(argument: Path | None, option: Path | None, *, name: str) -> Path | None:
    if argument is not None and option is not None:
        raise UsageError(f"the {name} is named twice, {argument} and {option}; leave one of them out")
    return argument if option is None else option


def _threads(text: str) -> int:
    """A number, or three of them, load:process:save, of which the second counts."""
    parts = text.split(":")
    number = parts[1] if len(parts) == 3 else text
    if not number.isascii() or not number.isdigit() or int(number) < 1:
        raise UsageError(f"'{text}' is no number of threads; expected one from 1 on, as in -j 4")
    from bitsr.runtime.capi import MAX_THREADS

    if len(number) > len(str(MAX_THREADS)) or int(number) > MAX_THREADS:
        raise UsageError(f"'{text}' is too many threads; expected at most {MAX_THREADS}, as in -j 4")
    return int(number)


def _scale(model: str | None, scale: int | None) -> int | None:
    from bitsr.inference.load import stated_scale

    return stated_scale(model, scale=scale)


def _plan(
    source: Path,
    target: Path | None,
    *,
    scale: int | None,
    extension: str | None,
    existing: "Existing",
    recursive: bool,
    quality: int | None,
    keep_gps: bool,
) -> "tuple[Plan, Path]":
    from bitsr.common.pictures import FORMATS, check_extension
    from bitsr.inference.plan import default_target, plan_file, plan_folder

    if extension is not None:
        check_extension(extension)
    ending = extension or ".png"
    target = target or default_target(source, scale=scale, extension=ending)
    if source.is_dir():
        plan = plan_folder(
            source,
            target,
            extension=ending,
            existing=existing,
            recursive=recursive,
            scale=scale,
            quality=quality,
            keep_gps=keep_gps,
        )
    else:
        if recursive:
            note(f"--recursive has no effect, {source} is no folder")
        if target.is_dir():
            target = target / default_target(source, scale=scale, extension=ending).name
        if extension is not None and FORMATS.get(target.suffix.lower()) is not FORMATS[extension]:
            raise UsageError(f"{target} is not called like a file of --format {extension[1:]}; leave one of them out")
        plan = plan_file(source, target, existing=existing, quality=quality, keep_gps=keep_gps)
        ending = target.suffix.lower()
    if quality is not None and not FORMATS[ending].has_quality:
        note(f"--quality has no effect, {FORMATS[ending].name} loses nothing")
    return plan, target


def _built_in(plan: "Plan", *, scale: int | None) -> str:
    from bitsr.inference.load import DEFAULT_SCALE, PHOTO_FAMILY, default_model

    scale = scale or DEFAULT_SCALE
    model = default_model(scale, pictures=[job.source for job in plan.jobs])
    if model.startswith(PHOTO_FAMILY):
        note(f"saved as JPEG with losses: {model}, for photos (for clean pictures: -m {default_model(scale)})")
    return model


def _open(
    model: str,
    *,
    runtime: Runtime | None,
    scale: int | None,
    threads: int | None,
    sampling: "Sampling | None",
    ensemble: bool,
) -> "Session":
    from bitsr.inference.ensemble import EnsembleSession
    from bitsr.inference.load import load
    from bitsr.inference.session import SamplingSession

    session = load(
        model, runtime=None if runtime is None else runtime.value, scale=scale, threads=threads, sampling=sampling
    )
    if threads is not None and session.info.runtime in (Runtime.eager, Runtime.pte):
        note(f"-j has no effect, the runtime {session.info.runtime} has threads of its own")
    if not ensemble:
        return session
    if isinstance(session, SamplingSession):
        raise UsageError(
            f"-x averages results, which blurs those of the diffusion model {session.info.model}; leave it out"
        )
    return EnsembleSession(session)


def _note_tile(tile: int | None, info: "SessionInfo") -> None:
    largest = info.fixed_side or (None if info.max_pixels is None else isqrt(info.max_pixels))
    if tile and largest is not None and (tile > largest or (info.fixed_side and tile != largest)):
        limit = "tiles of" if info.fixed_side else "tiles of at most"
        note(f"--tile {tile} has no effect, {info.model} takes {limit} {largest}x{largest} pixels here")


def _run(session: "Session", plan: "Plan", *, tile: int | None) -> tuple[int, list[BitsrError], int]:
    """Upscale what is planned; returns how many were written, what failed, and how many were not tried."""
    from bitsr.common.tiler import DEFAULT_TILE_PIXELS
    from bitsr.inference.batch import Failure, upscale_jobs
    from bitsr.inference.session import SamplingSession

    written = 0
    failures: list[BitsrError] = []
    with progress() as bars:
        task = bars.task(session.info.model, total=plan.pixels)
        if isinstance(session, SamplingSession):
            session.on_step = bars.task("steps of this tile", total=None)
        for outcome in upscale_jobs(
            session,
            plan.jobs,
            tile_pixels=tile**2 if tile else DEFAULT_TILE_PIXELS,
            progress=task,
        ):
            if isinstance(outcome, Failure):
                failures.append(outcome.error)
                continue
            written += 1
            size, result_size = ("x".join(map(str, size)) for size in (outcome.size, outcome.result_size))
            note(f"{outcome.job.source.name}: {size} -> {result_size} in {outcome.seconds:.1f} s")
    return written, failures, len(plan.jobs) - written - len(failures)


def _summary(failed: int, written: int, skipped: int, untried: int, target: Path) -> str:
    total = failed + written + skipped + untried
    text = f"{failed} of {total} pictures failed"
    if untried:
        text += f"; {untried} were not tried, because the disk is full"
    if written or skipped:
        text += f"; the others are in {target}"
    return text
