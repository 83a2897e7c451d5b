"""What a weights file keeps of a binary layer: a bit for each latent weight and a scale for each filter.

The latent weights of a trained network serve its training alone; the network is their signs and scales.
"""

import math
from typing import Any

import torch
from torch import Tensor

from bitsr.common.errors import WeightsError
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import SuperResolutionModel

SIGNS, SCALE = ".signs", ".scale"


def packed_tensors(model: SuperResolutionModel) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    """``(tensors, packed)`` of a model: what is stored, and the shapes of the latent weights that are stored as bits.

    ``packed`` names a latent weight ``w`` (Co, Ci, k, k); in its place ``tensors`` has ``w.signs``, uint8 bits with the
    first weight in the lowest bit, 1 for +1, and ``w.scale`` (Co,). Floating-point tensors are float16, and so are
    latent weights whose layer needs more of them than signs and scales.

    Raises:
        WeightsError: a value is beyond the range of float16.
    """
    tensors = {
        name: tensor.detach().cpu().half() if tensor.is_floating_point() else tensor.detach().cpu()
        for name, tensor in model.state_dict().items()
    }
    packed: dict[str, list[int]] = {}
    for name, layer in model.named_modules():
        if not isinstance(layer, BinaryConv2d):
            continue
        bits = _signs_and_scale(layer)
        if bits is not None:
            weight = f"{name}.weight"
            del tensors[weight]
            packed[weight] = list(layer.weight.shape)
            tensors[weight + SIGNS], tensors[weight + SCALE] = _to_bits(bits[0]), bits[1].half()
    wide = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if wide:
        raise WeightsError(
            f"{len(wide)} tensors have values that float16 does not hold (|x| <= 65504), the first is {wide[0]}; "
            "store these weights in full precision (a training's best.safetensors)"
        )
    return {name: tensor.contiguous() for name, tensor in tensors.items()}, packed


def unpacked(tensors: dict[str, Tensor], packed: dict[str, list[int]]) -> dict[str, Tensor]:
    """The state of a model from what :func:`packed_tensors` gave: ``w = scale * sign``, float32.

    Raises:
        WeightsError: signs or scales are missing or of another size than ``packed`` says.
    """
    state = dict(tensors)
    for name, shape in packed.items():
        try:
            bits, scale = state.pop(name + SIGNS), state.pop(name + SCALE)
            signs = _from_bits(bits, count=math.prod(shape)).reshape(shape)
            state[name] = signs * scale.float().reshape(-1, 1, 1, 1)
        except (KeyError, RuntimeError, TypeError) as error:
            raise WeightsError(
                f"the bits of {name} {tuple(shape)} are missing or of another size; use a complete weights file"
            ) from error
    return state


def _signs_and_scale(layer: Any) -> tuple[Tensor, Tensor] | None:
    """What the layer makes of its latent weights, or None where these do not follow from signs and scales alone."""
    if layer.weight_binarizer.planes != 1:
        return None
    signs, scale = layer.weight_binarizer.deploy(layer.weight.detach())
    # A latent weight of zero would lose the sign that it has in training.
    again = layer.weight_binarizer.deploy(signs * scale.half().float().clamp_min(1e-7).reshape(-1, 1, 1, 1))
    same = torch.equal(again[0], signs) and torch.allclose(again[1], scale, rtol=2e-3, atol=1e-6)
    return (signs, scale.clamp_min(1e-7)) if same else None


def _to_bits(signs: Tensor) -> Tensor:
    ones = (signs.flatten() > 0).to(torch.uint8).cpu()
    ones = torch.nn.functional.pad(ones, (0, -len(ones) % 8)).reshape(-1, 8)
    return (ones << torch.arange(8, dtype=torch.uint8)).sum(dim=1, dtype=torch.uint8)


def _from_bits(bits: Tensor, *, count: int) -> Tensor:
    ones = (bits.reshape(-1, 1) >> torch.arange(8, dtype=torch.uint8)) & 1
    return ones.flatten()[:count].float() * 2 - 1
