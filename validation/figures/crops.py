"""A detail of a photo by several networks beside each other, with what each of them costs."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitsr.artifact.artifact import Artifact
from bitsr.artifact.formats import format_of
from bitsr.common.errors import UsageError
from bitsr.inference.load import load
from bitsr.inference.tiled import upscale_pixels
from bitsr.validation.figures.drawing import Drawing
from bitsr.validation.figures.panels import side_by_side
from bitsr.validation.figures.reduced import ReducedPhoto
from bitsr.validation.timing.interleave import Timing, interleave


@dataclass(frozen=True)
class Method:
    """One enlargement: its title, PSNR in dB (see :class:`ReducedPhoto`), file size in bytes, times.

    ``bytes`` and ``time`` are None for bicubic interpolation, which is no file and is not timed.
    """

    title: str
    psnr: float
    pixels: NDArray[np.uint8]
    bytes: int | None = None
    time: Timing | None = None


def crops(
    photo: Path,
    artifacts: dict[str, Path],
    *,
    corner: tuple[int, int] | None = None,
    zoom: int = 2,
    threads: int = 1,
    rounds: int = 5,
) -> tuple[Drawing, list[Method]]:
    """Reduce ``photo``, enlarge it by every artifact, and show the same detail of all.

    Args:
        artifacts: title of a panel -> artifact; all of one scale.
        corner: upper left corner (x, y) of the detail in the original, by default where the first artifact and bicubic
            interpolation differ most.
        threads: of the artifacts, which are timed in turns.

    Returns:
        The figure with the panels bicubic, the artifacts, the original; and the figures under its titles.

    Raises:
        UsageError: no artifact, artifacts of different scales, a photo that is too small, a corner outside of it.
        ArtifactError: an unusable artifact.
    """
    for path in artifacts.values():
        if format_of(path) is None:
            raise UsageError(f"{path} is no artifact; export it first: bitsr export {path} -o FOLDER --format tflite")
    opened = {title: Artifact.open(path) for title, path in artifacts.items()}
    scales = sorted({artifact.info.scale for artifact in opened.values()})
    if len(scales) != 1:
        raise UsageError(f"the artifacts enlarge by {scales or 'nothing'}; expected some artifacts of one scale")
    reduced = ReducedPhoto.read(photo, scale=scales[0])
    sessions = {title: load(path, threads=threads) for title, path in artifacts.items()}
    times = interleave(
        {title: partial(upscale_pixels, session, reduced.low) for title, session in sessions.items()}, rounds=rounds
    )
    bicubic = reduced.bicubic()
    methods = [Method("bicubic", reduced.psnr(bicubic), bicubic)]
    for title, session in sessions.items():
        pixels = upscale_pixels(session, reduced.low)
        methods.append(Method(title, reduced.psnr(pixels), pixels, opened[title].info.artifact_bytes, times[title]))
    panels = {_label(method): method.pixels for method in methods}
    return side_by_side({**panels, "original\n\n": reduced.original}, zoom=zoom, corner=corner), methods


def _label(method: Method) -> str:
    cost = ""
    if method.bytes is not None and method.time is not None:
        cost = f"{method.bytes / 1000:,.0f} kB, {method.time.median:.0f} ms"
    return f"{method.title}\n{method.psnr:.2f} dB\n{cost}"
