"""PSNR and SSIM on luminance, as published for super-resolution; the measuring itself is torchmetrics."""

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from bitsr.common.errors import PictureError

SSIM_WINDOW = 11


def luminance(rgb: Tensor) -> Tensor:
    """Y of BT.601 as MATLAB's ``rgb2ycbcr``: RGB (N, 3, H, W) in [0, 255] -> (N, 1, H, W) in [16, 235]; not rounded."""
    weights = rgb.new_tensor([65.481, 128.553, 24.966]).reshape(1, 3, 1, 1) / 255.0
    return (rgb * weights).sum(dim=1, keepdim=True) + 16.0


def _crop(picture: Tensor, crop: int) -> Tensor:
    if crop < 0 or 2 * crop >= min(picture.shape[-2:]):
        raise ValueError(f"cannot crop {crop} pixels from each side of a {tuple(picture.shape[-2:])} picture")
    return picture[..., crop : picture.shape[-2] - crop, crop : picture.shape[-1] - crop]


def psnr(prediction: Tensor, target: Tensor, *, data_range: float, crop: int) -> float:
    """Peak signal-to-noise ratio in dB of (N, C, H, W) pictures, ``crop`` pixels ignored on each side."""
    return float(
        peak_signal_noise_ratio(
            _crop(prediction, crop).contiguous(), _crop(target, crop).contiguous(), data_range=float(data_range)
        )
    )


def ssim(prediction: Tensor, target: Tensor, *, data_range: float, crop: int) -> float:
    """Structural similarity (Wang et al., 2004): Gaussian window 11x11, sigma 1.5, K1 0.01, K2 0.03, valid part only.

    (N, C, H, W) pictures, ``crop`` pixels ignored on each side; the rest must be at least 11x11.

    Raises:
        PictureError: the pictures are smaller.
    """
    check_size(*target.shape[-2:], crop=crop)
    prediction, target = _crop(prediction, crop).contiguous(), _crop(target, crop).contiguous()
    _, full = structural_similarity_index_measure(
        prediction,
        target,
        gaussian_kernel=True,
        sigma=1.5,
        kernel_size=SSIM_WINDOW,
        data_range=float(data_range),
        k1=0.01,
        k2=0.03,
        return_full_image=True,
    )
    # torchmetrics also averages windows over mirrored borders; the published figures use full windows only.
    return float(_crop(full, SSIM_WINDOW // 2).mean())


def check_size(height: int, width: int, *, crop: int) -> None:
    """Refuse a picture that has no full SSIM window after ``crop`` pixels are left out on each side.

    Raises:
        PictureError: as said.
    """
    least = SSIM_WINDOW + 2 * crop
    if min(height, width) < least:
        raise PictureError(
            f"the picture has {width}x{height} pixels, SSIM with {crop} pixels left out at each border needs at least "
            f"{least}x{least}; leave it out or use a larger one"
        )


def to_8bit(picture: Tensor) -> Tensor:
    """[0, 1] -> whole numbers in [0, 255], rounded half up, clipped; stays a float tensor."""
    return torch.floor(picture.clamp(0, 1) * 255.0 + 0.5)
