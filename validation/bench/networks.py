"""What is timed: the modules in their deploy form, and the pictures that int8 candidates are calibrated with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitsr.common.errors import UsageError
from bitsr.common.pictures import read_picture
from bitsr.export.deploy import FoldedBackbone, FusedBinaryConv2d, deploy_form, fold
from bitsr.training.models import create_model
from bitsr.training.weights import load_model
from bitsr.validation.timing.float_twin import float_twin
from bitsr.validation.timing.pattern import photo_pattern

SIDE = 128
CHANNELS = 64
# One of EBSR-light and EBSR-light+ is enough: convolutions, gates and skips are the same, the second adds activations.
BINARY_NETWORK = "ebsr_light_plus_x4"
# The classes of shipped weights, and one network of each other family that takes pictures of any size.
BINARY_NETWORKS = (
    BINARY_NETWORK,
    "ebsr_light_plus_fast_x4",
    "ebsr_light_plus_tiny_x4",
    "ebsr_light_plus_micro_x4",
)
FAMILIES = ("bbcu_m_x4", "frbc_x4", "binedsr_res_pixel_bin_pixel_x4")
FLOAT_GEOMETRY = "float convolutions of its geometry"
FLOAT_NETWORK = "srresnet_x4"
# One step of a diffusion model, and of the float one that its paper compares it with.
DIFFUSION_NETWORK, DIFFUSION_FLOAT = "bidiffsr_x4", "sr3_x4"
BINARY_LAYER, FLOAT_LAYER = "binary layer", "float layer"
_MAX_CROPS = 2
Networks = Callable[[], dict[str, nn.Module]]
_MIDDLE_TIMESTEP = 1000


class BinaryLayer(nn.Module):
    """The whole fused layer: sign, 3x3 binary convolution, scale, skip, PReLU. Float32 (1, 64, H, W) in and out."""

    def __init__(self) -> None:
        super().__init__()
        signs = torch.where(torch.randn(CHANNELS, CHANNELS, 3, 3) < 0, -1.0, 1.0)
        self.conv = FusedBinaryConv2d(
            signs,
            torch.full((CHANNELS,), 0.05),
            threshold=torch.zeros(CHANNELS),
            slope=torch.full((CHANNELS,), 0.25),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x, residual=x)


class Step(nn.Module):
    """A diffusion model's step in the middle of its timesteps: (1, 6, 128, 128), enlarged picture and x_t -> noise."""

    timestep: Tensor

    def __init__(self, step: nn.Module) -> None:
        super().__init__()
        self.step = step
        self.register_buffer("timestep", torch.tensor([_MIDDLE_TIMESTEP]))

    def forward(self, x: Tensor) -> Tensor:
        # Of a constant timestep nothing would be left to time; a step further is for values that no picture has.
        further = (x[:, 0, 0, 0] > 2).to(torch.int64)
        y: Tensor = self.step(x, self.timestep + further)
        return y


def binary_layers() -> dict[str, nn.Module]:
    return {BINARY_LAYER: BinaryLayer().eval()}


def float_layers() -> dict[str, nn.Module]:
    """The opponent of the layer: the convolution alone, without activation and skip."""
    return {FLOAT_LAYER: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1).eval()}


def float_networks() -> dict[str, nn.Module]:
    """Opponents of the whole networks, in their deploy form, with random weights: no time of these depends on them."""
    return {
        FLOAT_GEOMETRY: float_twin(fold(create_model(BINARY_NETWORK))),
        FLOAT_NETWORK: fold(create_model(FLOAT_NETWORK)),
    }


def binary_networks() -> dict[str, nn.Module]:
    """Trained, because what our kernels of integers take depends on the values."""
    return {name: deploy_form(create_model(name, pretrained=True)) for name in BINARY_NETWORKS}


def families() -> dict[str, nn.Module]:
    return {name: deploy_form(create_model(name)) for name in FAMILIES}


def diffusion_steps() -> dict[str, nn.Module]:
    return {f"{DIFFUSION_NETWORK}, a step": Step(deploy_form(create_model(DIFFUSION_NETWORK))).eval()}


def float_diffusion_steps() -> dict[str, nn.Module]:
    """Opponents of the step, as those of the networks."""
    return {
        FLOAT_GEOMETRY: Step(float_twin(fold(create_model(DIFFUSION_NETWORK)))).eval(),
        f"{DIFFUSION_FLOAT}, a step": Step(fold(create_model(DIFFUSION_FLOAT))).eval(),
    }


def calibration_pictures(paths: list[Path]) -> list[Tensor]:
    """Crops (1, 3, 128, 128) in [0, 1] of photos, at most two of each.

    Raises:
        UsageError: none of the files has 128x128 pixels.
        PictureError: a file is missing or no picture.
    """
    crops = [crop for path in paths for crop in _crops(read_picture(path).rgb)]
    if not crops:
        names = ", ".join(str(path) for path in paths)
        raise UsageError(f"no picture of at least {SIDE}x{SIDE} pixels among: {names or 'nothing'}; name larger ones")
    return crops


def feature_maps(pictures: list[Tensor]) -> list[Tensor]:
    """What a binary layer sees of the pictures: (1, 64, 128, 128) of the trained network's head."""
    network = fold(load_model(BINARY_NETWORK))
    assert isinstance(network, FoldedBackbone)
    with torch.no_grad():
        return [network.features(picture) for picture in pictures]


def _crops(rgb: NDArray[np.uint8]) -> list[Tensor]:
    corners = [
        (top, left)
        for top in range(0, rgb.shape[0] - SIDE + 1, SIDE)
        for left in range(0, rgb.shape[1] - SIDE + 1, SIDE)
    ]
    crops = [rgb[top : top + SIDE, left : left + SIDE] for top, left in corners[:_MAX_CROPS]]
    return [torch.from_numpy(crop.transpose(2, 0, 1)[None].astype(np.float32) / 255) for crop in crops]


@dataclass(frozen=True)
class Case:
    """What is timed together.

    Args:
        shape: (1, C, H, W) of the input that all of its candidates take.
        ours: networks with binary layers, in their deploy form.
        floats: their opponents.
        calibration: of int8 opponents, from photos (1, 3, 128, 128); ``None``: no photo calibrates them.
        maps: the input is a map of features, no picture.
        one_size: a network takes this size alone.
    """

    shape: tuple[int, int, int, int]
    ours: Networks
    floats: Networks
    calibration: Callable[[list[Tensor]], list[Tensor]] | None
    maps: bool = False
    one_size: bool = False

    def example(self) -> Tensor:
        """The input of its candidates."""
        if self.maps:
            # Channels last, as the runtimes' kernels want it: no transpose is part of any time.
            return torch.randn(self.shape).to(memory_format=torch.channels_last)
        return photo_pattern(self.shape)


CASES = {
    "layer": Case((1, CHANNELS, SIDE, SIDE), binary_layers, float_layers, feature_maps, maps=True),
    # `list`: the photos as they are.
    "network": Case((1, 3, SIDE, SIDE), binary_networks, float_networks, list),
    # `dict`: none, their opponents are those of the networks.
    "families": Case((1, 3, SIDE, SIDE), families, dict, list),
    # What lies on the way to a picture calibrates a step, which no photo is.
    "diffusion": Case((1, 6, SIDE, SIDE), diffusion_steps, float_diffusion_steps, None, one_size=True),
}
