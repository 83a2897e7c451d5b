"""Measure a model on a folder of pictures by the protocol of the super-resolution literature.

The high-resolution picture is cropped to a multiple of the scale and reduced by MATLAB's bicubic to 8 bit; the
output is rounded to 8 bit, converted to Y of BT.601, and ``scale`` pixels are left out at each border.
Grey pictures go the same way as RGB with equal channels, as in the code of EDSR, BasicSR and their successors.
(The published bicubic figures of Set14 take its grey picture "bridge" in 0..255 instead, 1.3 dB lower for that
picture and 0.09 dB lower in the mean.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bitsr.common.errors import PictureError
from bitsr.common.pictures import list_pictures, picture_size, read_picture
from bitsr.training.data import make_pair
from bitsr.training.degradation import jpeg
from bitsr.training.metrics import check_size, luminance, psnr, ssim, to_8bit
from bitsr.training.models import SuperResolutionModel
from bitsr.training.resize import imresize

Upscaler = Callable[[Tensor], Tensor]
# (prediction, target), RGB (1, 3, H, W) in [0, 1] -> a distance, as :class:`bitsr.training.perceptual.Lpips`.
Perceptual = Callable[[Tensor, Tensor], float]
NOT_MEASURED = float("nan")


@dataclass(frozen=True)
class PictureScore:
    """Figures of one picture; PSNR in dB, NaN for what was not measured."""

    name: str
    psnr: float
    ssim: float
    bicubic_psnr: float
    bicubic_ssim: float
    lpips: float = NOT_MEASURED
    bicubic_lpips: float = NOT_MEASURED


@dataclass(frozen=True)
class Evaluation:
    """Figures of a folder: every picture, and the means over pictures."""

    folder: str
    scale: int
    pictures: tuple[PictureScore, ...]

    def _mean(self, field: str) -> float:
        return float(np.mean([getattr(score, field) for score in self.pictures]))

    @property
    def psnr(self) -> float:
        return self._mean("psnr")

    @property
    def ssim(self) -> float:
        return self._mean("ssim")

    @property
    def bicubic_psnr(self) -> float:
        return self._mean("bicubic_psnr")

    @property
    def bicubic_ssim(self) -> float:
        return self._mean("bicubic_ssim")

    @property
    def lpips(self) -> float:
        return self._mean("lpips")

    @property
    def bicubic_lpips(self) -> float:
        return self._mean("bicubic_lpips")


def bicubic_upscaler(scale: int) -> Upscaler:
    """MATLAB's bicubic enlargement of one picture (1, 3, H, W) in [0, 1]."""

    def upscale(low: Tensor) -> Tensor:
        picture = low[0].permute(1, 2, 0).double().numpy()
        enlarged = torch.from_numpy(imresize(picture, scale=scale).astype(np.float32))
        return enlarged.permute(2, 0, 1)[None]

    return upscale


def score(prediction: Tensor, target: Tensor, *, scale: int) -> tuple[float, float]:
    """``(PSNR, SSIM)`` on luminance of RGB (1, 3, H, W) in [0, 1]; the prediction is rounded to 8 bit first."""
    # Double precision: SSIM's variances are differences of nearly equal numbers.
    y, y_target = luminance(to_8bit(prediction.double())), luminance(to_8bit(target.double()))
    return psnr(y, y_target, data_range=255, crop=scale), ssim(y, y_target, data_range=255, crop=scale)


def check_set(folder: Path | str, *, scale: int) -> None:
    """Refuse a folder that :func:`evaluate` would refuse, as far as the headers of its pictures tell.

    Raises:
        UsageError: no folder or no picture in it.
        PictureError: a file is no picture, or a picture is too small for SSIM.
    """
    for path in list_pictures(folder):
        width, height = picture_size(path)
        _check_picture(path, height=height, width=width, scale=scale)


def _check_picture(path: Path, *, height: int, width: int, scale: int) -> None:
    try:
        check_size(height - height % scale, width - width % scale, crop=scale)
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from error


def evaluate(
    model: nn.Module | Upscaler,
    *,
    folder: Path | str | Sequence[Path],
    scale: int,
    bicubic: bool = True,
    perceptual: Perceptual | None = None,
    device: torch.device | str = "cpu",
    jpeg_quality: int | None = None,
) -> Evaluation:
    """Measure ``model`` (or any callable on (1, 3, H, W) RGB in [0, 1]) on all pictures of ``folder``.

    ``folder`` may also be a list of picture files. A model is asked for :meth:`SuperResolutionModel.upscale`.
    ``bicubic=False`` leaves out the bicubic figures (NaN), for validation during a training. ``perceptual`` compares
    the whole pictures in 8 bit. With ``jpeg_quality`` (1 to 100) the low-resolution pictures are saved as JPEG first,
    which is no protocol of the literature but what photos have gone through. A module is put into evaluation mode and
    back.

    Raises:
        UsageError: no folder or no picture in it.
        PictureError: a picture cannot be read or is too small for SSIM.
    """
    paths = list_pictures(folder) if isinstance(folder, (str, Path)) else list(folder)
    was_training = isinstance(model, nn.Module) and model.training
    if isinstance(model, nn.Module):
        model.eval()
    upscale = model.upscale if isinstance(model, SuperResolutionModel) else model
    enlarge = bicubic_upscaler(scale)
    scores = []
    try:
        for path in paths:
            rgb = read_picture(path).rgb
            _check_picture(path, height=rgb.shape[0], width=rgb.shape[1], scale=scale)
            pair = make_pair(rgb, scale=scale)
            reduced = pair.low if jpeg_quality is None else jpeg(pair.low, quality=jpeg_quality)
            low = torch.tensor(reduced).permute(2, 0, 1)[None].float() / 255.0
            high = torch.tensor(pair.high).permute(2, 0, 1)[None].float() / 255.0
            with torch.no_grad():
                output = upscale(low.to(device)).float().cpu()
            own, reference = score(output, high, scale=scale), (NOT_MEASURED, NOT_MEASURED)
            distances = [NOT_MEASURED, NOT_MEASURED]
            if perceptual is not None:
                distances[0] = perceptual(to_8bit(output) / 255, high)
            if bicubic:
                enlarged = enlarge(low)
                reference = score(enlarged, high, scale=scale)
                if perceptual is not None:
                    distances[1] = perceptual(to_8bit(enlarged) / 255, high)
            scores.append(PictureScore(path.stem, *own, *reference, *distances))
    finally:
        if isinstance(model, nn.Module):
            model.train(was_training)
    name = Path(folder).name if isinstance(folder, (str, Path)) else "pictures"
    if jpeg_quality is not None:
        name = f"{name}, JPEG {jpeg_quality}"
    return Evaluation(folder=name, scale=scale, pictures=tuple(scores))
