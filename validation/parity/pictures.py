"""Tiers 2 and 3: whole pictures on the target, against the eager reference and against the original."""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitsr.artifact.info import ArtifactInfo
from bitsr.common.errors import UsageError
from bitsr.common.pictures import read_picture
from bitsr.inference.tiled import to_8bit
from bitsr.training.data import make_pair
from bitsr.training.evaluate import score
from bitsr.training.metrics import SSIM_WINDOW
from bitsr.validation.errors import TargetError
from bitsr.validation.parity.picture_difference import compare
from bitsr.validation.results import PictureResult, finite
from bitsr.validation.targets.base import Target
from bitsr.validation.targets.runner_files import Map, read_map, write_integers, write_map
from bitsr.validation.targets.runner_protocol import FRAMEWORK

log = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class TestPicture:
    """A test picture: low resolution (1, 3, h, w), original and eager enlargement (1, 3, s h, s w), in [0, 1]."""

    name: str
    low: Tensor
    high: Tensor
    eager: Tensor
    eager_psnr: float
    eager_ssim: float


@dataclass(frozen=True)
class PictureOutput:
    """A result with the pixels it was computed from, (H, W, 3) uint8."""

    result: PictureResult
    eager: Pixels
    target: Pixels


def make_samples(paths: Sequence[Path], network: nn.Module, *, info: ArtifactInfo) -> list[TestPicture]:
    """Reduce the originals by MATLAB's bicubic, as the evaluation does, and enlarge them in eager PyTorch.

    Of an artifact that takes one size alone they are the middle parts.

    Raises:
        PictureError, UsageError: a picture that is broken, too small or too large for the artifact.
    """
    samples = []
    side, scale = info.sizes.only_side, info.scale
    for number, path in enumerate(paths, start=1):
        log.info("eager PyTorch enlarges %s, picture %d of %d", path.name, number, len(paths))
        original = read_picture(path).rgb
        if side is not None:
            original = _middle(original, side * scale, path)
        least = -(-(SSIM_WINDOW + 2 * scale) // scale) * scale  # sides are cut to multiples of the scale
        if min(original.shape[:2]) < least:
            raise UsageError(
                f"{path} is {original.shape[1]} x {original.shape[0]} pixels; SSIM at x{scale} needs sides of {least}; "
                "leave it out"
            )
        pair = make_pair(original, scale=scale)
        height, width = pair.low.shape[:2]
        info.sizes.check(height=height, width=width)
        low, high = (torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255.0 for pixels in (pair.low, pair.high))
        low = low.contiguous()
        with torch.no_grad():
            eager = network(low)
        samples.append(TestPicture(path.name, low, high, eager, *score(eager, high, scale=scale)))
    return samples


def check_sizes(samples: Sequence[TestPicture], *, info: ArtifactInfo) -> None:
    """Raise a UsageError where the artifact does not take a picture's size."""
    for sample in samples:
        info.sizes.check(height=int(sample.low.shape[2]), width=int(sample.low.shape[3]))


def _middle(pixels: Pixels, side: int, path: Path) -> Pixels:
    height, width = pixels.shape[:2]
    if min(height, width) < side:
        raise UsageError(f"{path} is {width} x {height} pixels; the artifact needs sides of {side}; leave it out")
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def run_picture(target: Target, model: str, sample: TestPicture, *, info: ArtifactInfo) -> PictureOutput:
    """One picture through the artifact ``model`` (its path on the target).

    Raises:
        TargetError: the run failed, or its result has values that are not finite.
    """
    output = run_network(target, model, sample.low, info=info)
    broken = int((~np.isfinite(output)).sum())
    if broken:
        raise TargetError(f"{broken} of {output.size} values of {sample.name} are not finite, expected none")
    psnr, ssim = score(torch.from_numpy(output), sample.high, scale=info.scale)
    eager, ours = to_8bit(np.asarray(sample.eager[0].numpy())), to_8bit(output[0])
    parity = compare(eager, ours)
    result = PictureResult(
        name=sample.name,
        low_size=(int(sample.low.shape[3]), int(sample.low.shape[2])),
        parity_psnr=finite(parity.psnr),
        differing=parity.differing,
        largest=parity.largest,
        eager_psnr=sample.eager_psnr,
        eager_ssim=sample.eager_ssim,
        psnr=psnr,
        ssim=ssim,
    )
    return PictureOutput(result, eager, ours)


def run_network(
    target: Target,
    model: str,
    x: Tensor,
    *,
    info: ArtifactInfo,
    runtime: str = FRAMEWORK,
    dump: Path | None = None,
) -> Map:
    """(1, 3, h, w) in [0, 1] -> (1, 3, s h, s w) in [0, 1], not clamped; ``dump`` receives the results of all ops."""
    low, high = (np.float32(limit) for limit in info.value_range)
    shape = (1, info.out_channels, x.shape[2] * info.scale, x.shape[3] * info.scale)
    given = np.asarray(x.numpy()) * (high - low) + low
    values = run_raw(target, model, given, shape=shape, runtime=runtime, dump=dump)
    return np.asarray((values - low) / (high - low), dtype=np.float32)


def run_raw(
    target: Target,
    model: str,
    x: Map,
    *,
    shape: tuple[int, ...],
    others: Sequence[NDArray[np.int64]] = (),
    runtime: str = FRAMEWORK,
    dump: Path | None = None,
) -> Map:
    """A map and the other inputs through the artifact, as they are; ``shape`` is the result's.

    Raises:
        TargetError: the run failed, or gave a result of another size.
    """
    with tempfile.TemporaryDirectory(prefix="bitsr-run-") as temporary:
        folder = Path(temporary)
        write_map(folder / "input.f32", x)
        there = target.path("output.f32")
        arguments = [model, "--runtime", runtime, "--input", target.push(folder / "input.f32")]
        for number, values in enumerate(others, start=1):
            write_integers(folder / f"input{number}.i64", values)
            arguments += ["--input", target.push(folder / f"input{number}.i64")]
        arguments += ["--output", there, "--shape", ",".join(map(str, x.shape)), "--runs", "0"]
        if dump is not None:
            layers = target.folder("layers")
            arguments += ["--dump-layers", layers]
        target.run(arguments)
        target.pull(there, folder / "output.f32")
        if dump is not None:
            target.pull(layers, dump)
        return read_map(folder / "output.f32", shape)
