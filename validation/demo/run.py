"""A photo through the whole chain: reduced, exported, upscaled by the artifacts, compared with bicubic and PyTorch."""

import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitsr.artifact.formats import FORMATS
from bitsr.common.errors import UsageError
from bitsr.common.files import atomic_write
from bitsr.common.pictures import Picture, write_image, write_picture
from bitsr.export.export import ExportedFile, export_model
from bitsr.inference.eager import EagerSession
from bitsr.inference.load import load
from bitsr.inference.tiled import upscale_pixels
from bitsr.runtime import EXECUTORCH_LIBRARY, find_library
from bitsr.training.weights import load_model
from bitsr.validation.conditions import conditions
from bitsr.validation.figures.panels import side_by_side
from bitsr.validation.figures.reduced import ReducedPhoto, size
from bitsr.validation.parity.picture_difference import Parity, compare
from bitsr.validation.timing.interleave import Timing, interleave

Pixels = NDArray[np.uint8]
log = logging.getLogger(__name__)
REPORT_VERSION = 2
# Artifact formats of the demo, and the runtime of each.
RUNTIMES = {"pte": "ExecuTorch", "tflite": "LiteRT"}
_INTERPRETERS = {"pte": ("executorch",), "tflite": ("ai-edge-litert",)}


@dataclass(frozen=True)
class RuntimeResult:
    """One artifact: its file, its picture's PSNR against the original in dB, and against the deploy form's picture.

    ``time`` is from 8-bit pixels to 8-bit pixels, the artifacts in turns, each with all processors of the process.
    """

    exported: ExportedFile
    psnr: float
    parity: Parity
    time: Timing


@dataclass(frozen=True)
class Demo:
    """Results of :func:`run_demo`; PSNR in dB on luminance against the original, ``scale`` border pixels left out."""

    model: str
    scale: int
    low_size: tuple[int, int]
    psnr_bicubic: float
    psnr_eager: float
    artifacts: dict[str, RuntimeResult]
    between: Parity | None
    latent_bytes: int
    files: dict[str, Path]


def run_demo(
    photo: Path,
    *,
    weights: Path,
    model: str,
    folder: Path,
    formats: tuple[str, ...] = tuple(RUNTIMES),
    overwrite: bool = False,
    rounds: int = 5,
) -> Demo:
    """Run the chain on ``photo`` and write pictures, artifacts and ``report.json`` into ``folder``.

    Raises:
        UsageError: the photo is too small, a file exists and ``overwrite`` is not set, or a format is unknown.
        BitsrError: whatever the steps raise.
    """
    network = load_model(weights)
    scale = network.info.scale
    reduced = ReducedPhoto.read(photo, scale=scale)
    original, low = reduced.original, reduced.low
    names = ["low", "bicubic", *(f"upscaled_{item}" for item in formats), "side_by_side"]
    files = {**{name: folder / f"{name}.png" for name in names}, "report": folder / "report.json"}
    existing = [path for path in files.values() if path.exists()]
    if existing and not overwrite:
        raise UsageError(f"{existing[0]} exists; choose another folder, or replace it with --overwrite")

    kinds = " and ".join(f".{item}" for item in formats)
    log.info("1. export %s to %s", model, kinds)
    exported = export_model(model, weights=weights, output=folder, formats=formats, overwrite=overwrite)
    files.update({item: exported.files[item].path for item in formats})

    log.info("2. reduce %s from %s to %s", photo.name, size(original), size(low))

    log.info("3. upscale by bicubic interpolation, through the deploy form in PyTorch, and through %s", kinds)
    bicubic = reduced.bicubic()
    reference = upscale_pixels(EagerSession(network), low)
    sessions = {item: load(files[item]) for item in formats}
    upscaled = {item: upscale_pixels(session, low) for item, session in sessions.items()}

    log.info("4. time %s in turns, %d rounds", kinds, rounds)
    calls = {item: _call(session, low) for item, session in sessions.items()}
    times = interleave(calls, rounds=rounds)
    artifacts = {
        item: RuntimeResult(
            exported.files[item],
            reduced.psnr(upscaled[item]),
            compare(reference, upscaled[item]),
            times[item],
        )
        for item in formats
    }
    psnr_bicubic, psnr_eager = (reduced.psnr(pixels) for pixels in (bicubic, reference))

    write_picture(files["low"], Picture(low))
    write_picture(files["bicubic"], Picture(bicubic))
    for item, pixels in upscaled.items():
        write_picture(files[f"upscaled_{item}"], Picture(pixels))
    write_image(
        files["side_by_side"],
        side_by_side(
            {
                f"bicubic\n{psnr_bicubic:.2f} dB": bicubic,
                **{_title(item, artifacts[item]): upscaled[item] for item in _different(upscaled)},
                "original\n": original,
            }
        ).image(),
    )
    demo = Demo(
        model=model,
        scale=scale,
        low_size=(low.shape[1], low.shape[0]),
        psnr_bicubic=psnr_bicubic,
        psnr_eager=psnr_eager,
        artifacts=artifacts,
        between=compare(*upscaled.values()) if len(upscaled) == 2 else None,
        latent_bytes=exported.latent_bytes,
        files=files,
    )
    with atomic_write(files["report"]) as temporary:
        temporary.write_text(json.dumps(report(demo), indent=2) + "\n", encoding="utf-8")
    return demo


def _different(upscaled: dict[str, Pixels]) -> list[str]:
    """The formats whose pictures differ from those of all formats before them."""
    shown: list[str] = []
    for item, pixels in upscaled.items():
        if not any(np.array_equal(pixels, upscaled[other]) for other in shown):
            shown.append(item)
    return shown


def _title(item: str, result: RuntimeResult) -> str:
    kilobytes = result.exported.info.artifact_bytes / 1000
    return f"1-bit network ({item}), {kilobytes:.0f} kB\n{result.psnr:.2f} dB, {result.time.median:.0f} ms"


def report(demo: Demo) -> dict[str, Any]:
    """The demo's results for JSON; sizes as [width, height], times in ms, an infinite PSNR as null."""
    packages = {name: None for item in demo.artifacts for name in (*FORMATS[item].exported_with, *_INTERPRETERS[item])}
    return {
        "version": REPORT_VERSION,
        "model": demo.model,
        "scale": demo.scale,
        "low_size": demo.low_size,
        "psnr": {"bicubic": demo.psnr_bicubic, "eager": demo.psnr_eager},
        "float32_bytes": demo.latent_bytes,
        "artifacts": {
            item: {
                "runtime": RUNTIMES[item],
                "bytes": result.exported.path.stat().st_size,
                "partitions": result.exported.table.partitions,
                "psnr": result.psnr,
                "against_eager": _parity(result.parity),
                "milliseconds": result.time.samples,
            }
            for item, result in demo.artifacts.items()
        },
        "between_the_artifacts": None if demo.between is None else _parity(demo.between),
        "conditions": conditions(find_library(EXECUTORCH_LIBRARY), packages=tuple(packages)),
    }


def _parity(parity: Parity) -> dict[str, float | None]:
    return {
        "psnr": None if math.isinf(parity.psnr) else parity.psnr,
        "differing": parity.differing,
        "largest": parity.largest,
    }


def _call(session: Any, pixels: Pixels) -> Callable[[], object]:
    return lambda: upscale_pixels(session, pixels)
