"""A photo through the whole chain: reduced, exported, upscaled by the artefact, compared with bicubic and PyTorch."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bitsr.common.errors import UsageError
from bitsr.common.files import atomic_write
from bitsr.common.pictures import Picture, read_picture, write_image, write_picture
from bitsr.export.export import ExportResult, export_model
from bitsr.inference.eager import EagerSession
from bitsr.inference.pte import PteSession
from bitsr.inference.upscale import upscale_pixels
from bitsr.training.evaluate import score
from bitsr.training.resize import imresize
from bitsr.training.weights import load_model
from bitsr.validation.parity import Parity, compare
from bitsr.validation.timing import Timing, interleave

Pixels = NDArray[np.uint8]
Say = Callable[[str], None]
REPORT_VERSION = 1


@dataclass(frozen=True)
class Demo:
    """Results of :func:`run_demo`.

    PSNR in dB on luminance against the original, ``scale`` border pixels left out; ``parity`` compares the .pte with
    the deploy form in PyTorch; ``time`` is that of the .pte, from 8-bit pixels to 8-bit pixels.
    """

    model: str
    scale: int
    low_size: tuple[int, int]
    psnr: float
    psnr_eager: float
    psnr_bicubic: float
    parity: Parity
    time: Timing
    exported: ExportResult
    files: dict[str, Path]


def run_demo(
    photo: Path, *, weights: Path, model: str, folder: Path, overwrite: bool = False, rounds: int = 5, say: Say = print
) -> Demo:
    """Run the chain on ``photo`` and write pictures, artefact and ``report.json`` into ``folder``.

    Raises:
        UsageError: the photo is too small, or a file exists and ``overwrite`` is not set.
        BitsrError: whatever the steps raise.
    """
    network = load_model(weights)
    scale = network.info.scale
    original = _crop(read_picture(photo).rgb, scale, photo)
    names = ("low.png", "bicubic.png", "upscaled.png", "side_by_side.png", "report.json")
    files = {name.partition(".")[0]: folder / name for name in names}
    existing = [path for path in files.values() if path.exists()]
    if existing and not overwrite:
        raise UsageError(f"{existing[0]} exists; choose another folder, or replace it with --overwrite")

    say(f"1. export {model} to .pte")
    exported = export_model(model, weights=weights, output=folder, overwrite=overwrite)
    files["pte"] = exported.files["pte"].path

    low = np.asarray(imresize(original, scale=1 / scale), dtype=np.uint8)
    say(f"2. reduce {photo.name} from {_size(original)} to {_size(low)}")

    say("3. upscale by bicubic interpolation, through the .pte, and through the deploy form in PyTorch")
    bicubic = np.asarray(imresize(low, scale=scale), dtype=np.uint8)
    pte = PteSession(files["pte"])
    upscaled, reference = upscale_pixels(pte, low), upscale_pixels(EagerSession(network), low)

    say(f"4. time the .pte, {rounds} rounds")
    time = interleave({"pte": lambda: upscale_pixels(pte, low)}, rounds=rounds)["pte"]
    psnr, psnr_eager, psnr_bicubic = (_psnr(p, original, scale) for p in (upscaled, reference, bicubic))
    panels = {
        f"bicubic  {psnr_bicubic:.2f} dB": bicubic,
        f"{model}.pte  {psnr:.2f} dB": upscaled,
        "original": original,
    }
    for name, pixels in (("low", low), ("bicubic", bicubic), ("upscaled", upscaled)):
        write_picture(files[name], Picture(pixels))
    write_image(files["side_by_side"], side_by_side(panels))
    demo = Demo(
        model=model,
        scale=scale,
        low_size=(low.shape[1], low.shape[0]),
        psnr=psnr,
        psnr_eager=psnr_eager,
        psnr_bicubic=psnr_bicubic,
        parity=compare(reference, upscaled),
        time=time,
        exported=exported,
        files=files,
    )
    with atomic_write(files["report"]) as temporary:
        temporary.write_text(json.dumps(report(demo), indent=2) + "\n", encoding="utf-8")
    return demo


def report(demo: Demo) -> dict[str, object]:
    """The demo's results for JSON; sizes as [width, height], times in ms, an infinite PSNR as null."""
    return {
        "version": REPORT_VERSION,
        "model": demo.model,
        "scale": demo.scale,
        "low_size": demo.low_size,
        "psnr": {"pte": demo.psnr, "eager": demo.psnr_eager, "bicubic": demo.psnr_bicubic},
        "parity": {
            "psnr": None if math.isinf(demo.parity.psnr) else demo.parity.psnr,
            "differing": demo.parity.differing,
            "largest": demo.parity.largest,
        },
        "milliseconds": demo.time.samples,
    }


def side_by_side(panels: dict[str, Pixels], *, zoom: int = 3) -> Image.Image:
    """The pictures beside each other under their titles; below, the detail where the first two differ most.

    ``panels`` maps titles to RGB pictures (H, W, 3), uint8, of one size.
    """
    pictures = list(panels.values())
    height, width = pictures[0].shape[:2]
    detail_height, detail_width = max(1, height // zoom), max(1, width // zoom)
    top, left = _most_different(pictures[0], pictures[1], detail_height, detail_width)
    bar, gap = 24, 4
    canvas = Image.new(
        "RGB", (len(panels) * (width + gap) - gap, bar + height + gap + detail_height * zoom), (255, 255, 255)
    )
    draw = ImageDraw.Draw(canvas)
    for number, (title, pixels) in enumerate(panels.items()):
        x = number * (width + gap)
        draw.text((x + 4, 3), title, fill=(0, 0, 0), font=ImageFont.load_default(size=15))
        canvas.paste(Image.fromarray(pixels), (x, bar))
        detail = Image.fromarray(np.ascontiguousarray(pixels[top : top + detail_height, left : left + detail_width]))
        canvas.paste(
            detail.resize((detail_width * zoom, detail_height * zoom), Image.Resampling.NEAREST),
            (x, bar + height + gap),
        )
    return canvas


def _most_different(first: Pixels, second: Pixels, height: int, width: int) -> tuple[int, int]:
    """Upper left corner of the window with the largest squared difference."""
    error = np.square(first.astype(np.int64) - second.astype(np.int64)).sum(axis=-1)
    total = np.pad(error.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    window = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    top, left = np.unravel_index(int(window.argmax()), window.shape)
    return int(top), int(left)


def _crop(rgb: Pixels, scale: int, photo: Path) -> Pixels:
    height, width = rgb.shape[0] // scale * scale, rgb.shape[1] // scale * scale
    if min(height, width) < 16 * scale:
        raise UsageError(f"{photo} has {_size(rgb)} pixels; expected at least {16 * scale} on each side")
    return np.ascontiguousarray(rgb[:height, :width])


def _psnr(picture: Pixels, original: Pixels, scale: int) -> float:
    first, second = (torch.from_numpy(p).permute(2, 0, 1)[None].double() / 255 for p in (picture, original))
    return score(first, second, scale=scale)[0]


def _size(rgb: Pixels) -> str:
    return f"{rgb.shape[1]}x{rgb.shape[0]}"
