"""Parameters, bytes and operations of a model, layer by layer.

Float multiply-accumulates and binary ones are counted apart. The papers' "OPs" are float MACs + binary MACs / 64.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import create_model


@dataclass(frozen=True)
class LayerCost:
    """One layer. ``bytes`` counts a binary weight as one bit and every other parameter as float32."""

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    bytes: int
    macs: int
    binary_macs: int


def model_cost(model_id: str, *, size: tuple[int, int, int, int]) -> list[LayerCost]:
    """Costs for an input (N, C, H, W), in the order of the computation; nothing is computed or allocated.

    Parameters outside of convolutions and fully connected layers (activations, binarizers, normalisation) belong to the
    layer that holds them.

    Raises:
        UnknownNameError: no such model.
    """
    with torch.device("meta"):
        model = create_model(model_id).eval()
        x = torch.empty(size)
    layers: list[LayerCost] = []
    counted = (BinaryConv2d, nn.Conv2d, nn.Linear)

    def count(name: str) -> Any:
        def hook(module: nn.Module, _inputs: Any, output: Tensor) -> None:
            parameters = sum(p.numel() for p in module.parameters())
            weight = module.weight.numel() if isinstance(module, counted) else 0
            # A convolution uses its weights once per output pixel, a fully connected layer once per picture.
            macs = weight * output.numel() // output.shape[1] if weight else 0
            binary = isinstance(module, BinaryConv2d)
            stored = -(-weight // 8) + 4 * (parameters - weight) if binary else 4 * parameters
            layers.append(
                LayerCost(
                    name,
                    type(module).__name__,
                    tuple(output.shape),
                    parameters,
                    stored,
                    0 if binary else macs,
                    macs if binary else 0,
                )
            )

        return hook

    covered: set[str] = set()
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in covered)
        has_own = any(True for _ in module.parameters(recurse=False))
        if not inside and (isinstance(module, counted) or has_own):
            covered.add(name)
            module.register_forward_hook(count(name))
    with torch.no_grad():
        model(x)
    return layers
