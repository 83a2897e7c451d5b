"""LPIPS: how different two pictures look to a trained network; the measuring itself is torchmetrics."""

from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import Tensor

from bitsr.common.errors import MissingExtraError, UsageError


class Lpips:
    """LPIPS with AlexNet, version 0.1: 0 for equal pictures, larger for pictures that look different.

    Source: Zhang et al., CVPR 2018; the field reports it on RGB, whole pictures. torchmetrics ships the linear weights
    of the metric. AlexNet's own come with no package; nothing is fetched here.

    Raises:
        MissingExtraError: torchvision is not installed.
        UsageError: AlexNet's weights are not on this machine; what to fetch, and where to, is said.
    """

    def __init__(self) -> None:
        try:
            from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
            from torchvision.models import AlexNet_Weights
        except ImportError as error:
            raise MissingExtraError(error.name or "torchvision", extra="lpips", purpose="LPIPS") from error
        url = AlexNet_Weights.DEFAULT.url
        path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
        if not path.is_file():
            raise UsageError(
                f"LPIPS needs AlexNet's weights, which come with no package, and there is no {path}; fetch {url} "
                "and put it there"
            )
        self._metric = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)

    def __call__(self, prediction: Tensor, target: Tensor) -> float:
        """Of RGB (1, 3, H, W) in [0, 1], at least 32 pixels a side."""
        self._metric.reset()
        with torch.no_grad():
            return float(self._metric(prediction.clamp(0, 1), target.clamp(0, 1)))
