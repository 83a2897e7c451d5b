"""One call for whatever holds a picture: a file, a folder, an array or a PIL image."""

import logging
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bitsr.common.errors import BitsrError, UsageError
from bitsr.common.pictures import picture_from_image, survey
from bitsr.common.progress import Progress
from bitsr.inference.batch import Failure, upscale_jobs
from bitsr.inference.checks import describe
from bitsr.inference.load import DEFAULT_SCALE, default_model, load
from bitsr.inference.plan import default_target, plan_file, plan_folder
from bitsr.inference.session import Session
from bitsr.inference.upscale import upscale_file, upscale_rows

log = logging.getLogger(__name__)


@overload
def upscale(
    source: str | Path,
    target: str | Path | None = None,
    *,
    model: str | Path | Session | None = None,
    scale: int | None = None,
    runtime: str | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path: ...


@overload
def upscale(
    source: NDArray[np.uint8],
    target: None = None,
    *,
    model: str | Path | Session | None = None,
    scale: int | None = None,
    runtime: str | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> NDArray[np.uint8]: ...


@overload
def upscale(
    source: Image.Image,
    target: None = None,
    *,
    model: str | Path | Session | None = None,
    scale: int | None = None,
    runtime: str | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Image.Image: ...


def upscale(
    source: str | Path | NDArray[np.uint8] | Image.Image,
    target: str | Path | None = None,
    *,
    model: str | Path | Session | None = None,
    scale: int | None = None,
    runtime: str | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path | NDArray[np.uint8] | Image.Image:
    """Upscale a picture or a folder of pictures, of any size.

    Args:
        source: a file or a folder, whose result is written; RGB (H, W, 3) uint8 or a PIL image of any mode, whose
            result is returned as the same, (scale * H, scale * W, 3) or an image with its transparency.
        target: file or folder of the result; by default beside the source, as ``photo_x4.png`` or ``photos_x4``.
        model: an open session, or what :func:`bitsr.load` opens; None is the built-in model for clean pictures, or that
            for photos where all pictures are JPEGs of a quality at which it gives more.
        scale, runtime, threads: as in :func:`bitsr.load`, for a model that is not open yet.
        overwrite: replace results that exist.
        progress: told of the input pixels that became final, of all.

    Returns:
        The path of the written file or folder, or the enlarged picture.

    Raises:
        UsageError: a source that is missing or no picture in this sense, a result that exists, and what
            :func:`bitsr.load` refuses.
        PictureError: the file is no picture, or broken.
        BitsrError: some pictures of a folder failed; the message names the first, the others are written.

    >>> import bitsr
    >>> from PIL import Image
    >>> bitsr.upscale(Image.new("L", (8, 6)), scale=2).size
    (16, 12)
    """
    if isinstance(model, Session):
        if scale not in (None, model.info.scale) or runtime not in (None, model.info.runtime) or threads is not None:
            opened = f"x{model.info.scale} in {model.info.runtime}"
            raise UsageError(f"the session is open as {opened}; leave scale, runtime and threads out")
        return _upscale(source, target, session=model, overwrite=overwrite, progress=progress)
    _check_source(source, target)
    if model is None and isinstance(source, str | Path):
        path = Path(source)
        pictures = survey(path).pictures if path.is_dir() else [path]
        model = default_model(scale or DEFAULT_SCALE, pictures=pictures)
    with load(model, scale=scale, runtime=runtime, threads=threads) as session:
        return _upscale(source, target, session=session, overwrite=overwrite, progress=progress)


def _check_source(source: object, target: object) -> None:
    """Refuse what is no source before a network is loaded for it."""
    if isinstance(source, str | Path):
        if not Path(source).exists():
            raise UsageError(f"there is no file or folder {source}; name an existing picture or folder")
    elif not isinstance(source, np.ndarray | Image.Image):
        raise UsageError(
            f"a source is a path, a numpy array or a PIL image, got {describe(source)}; for a tensor give its numpy "
            "array (H, W, 3) of bytes"
        )
    elif target is not None:
        raise UsageError("an array or a PIL image is returned, not written; leave the target out, and save the result")


def _upscale(
    source: str | Path | NDArray[np.uint8] | Image.Image,
    target: str | Path | None,
    *,
    session: Session,
    overwrite: bool,
    progress: Progress | None,
) -> Path | NDArray[np.uint8] | Image.Image:
    _check_source(source, target)
    if isinstance(source, np.ndarray):
        return session.upscale(source, progress=progress)
    if isinstance(source, Image.Image):
        rows = np.concatenate(list(upscale_rows(session, picture_from_image(source), progress=progress)))
        return Image.fromarray(rows[..., 0] if rows.shape[2] == 1 else rows)
    path = Path(source)
    wanted = Path(target) if target is not None else default_target(path, scale=session.info.scale)
    if path.is_dir():
        _upscale_folder(session, path, wanted, overwrite=overwrite, progress=progress)
    else:
        (job,) = plan_file(path, wanted, existing="overwrite" if overwrite else "refuse").jobs
        upscale_file(session, job, progress=progress)
    return wanted


def _upscale_folder(
    session: Session, source: Path, target: Path, *, overwrite: bool, progress: Progress | None
) -> None:
    plan = plan_folder(source, target, existing="overwrite" if overwrite else "refuse", scale=session.info.scale)
    if plan.remark:
        log.warning("%s", plan.remark)
    outcomes = list(upscale_jobs(session, plan.jobs, progress=progress))
    failures = [error for _, error in plan.failures]
    failures += [outcome.error for outcome in outcomes if isinstance(outcome, Failure)]
    if failures:
        total = len(plan.jobs) + len(plan.failures)
        raise BitsrError(
            f"{len(failures)} of {total} pictures failed, the others are in {target}; the first: {failures[0]}"
        )
