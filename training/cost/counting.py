"""What every layer of a network holds and computes, counted on tensors without data.

Layers with few bits are recognised by their attributes ``weight_bits`` and ``activation_bits`` (a binary convolution
has one of each; a second weight plane is a second bit). Every other operation is seen as PyTorch dispatches it, so
convolutions, fully connected layers, matrix products and attention count wherever they stand.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bitsr.artifact.program.words import WORD_BITS, words_per_tap
from bitsr.training.models import create_model

_NORMS = (nn.GroupNorm, nn.LayerNorm)
_WEIGHTED = (nn.modules.conv._ConvNd, nn.Linear)


@dataclass
class LayerCost:
    """One layer: a module that holds parameters itself, or that computes something with its own hands.

    ``low_bit_weights`` weights have ``weight_bits`` bits each; ``float_weights`` are those of convolutions and fully
    connected layers, ``float_others`` all other parameters (biases, scales, thresholds, slopes, normalisation).
    ``bit_macs`` are multiply-accumulates times weight bits times activation bits. ``normalized`` and ``averaged`` count
    the elements that a group or layer normalisation and a mean over pictures read, ``batch_normalized`` those of a
    batch normalisation, which the layer before it may take in. ``bytes`` is what an artifact stores: 1-bit weights in
    64-bit words, weights of more bits as int8, a scale for each filter and plane, all else as float32.
    """

    name: str
    kind: str
    output: tuple[int, ...] = ()
    weight_bits: int = 0
    low_bit_weights: int = 0
    float_weights: int = 0
    float_others: int = 0
    macs: int = 0
    bit_macs: int = 0
    normalized: int = 0
    batch_normalized: int = 0
    averaged: int = 0
    bytes: int = 0

    @property
    def float_parameters(self) -> int:
        return self.float_weights + self.float_others


def model_cost(model_id: str, *, size: tuple[int, int, int, int]) -> list[LayerCost]:
    """Costs of a registered model for a picture (N, 3, H, W); nothing is computed or allocated.

    Raises:
        UnknownNameError: no such model.
    """
    with torch.device("meta"):
        model = create_model(model_id)
        inputs = model.example_inputs(size)
    return count_layers(model, inputs)


def count_layers(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[LayerCost]:
    """Costs of one evaluation of ``model``, in the order of the computation.

    The model and the inputs may be on the meta device. A parameter belongs to the module that holds it, those inside of
    a low-bit layer to that layer; a layer that is not executed still counts its parameters.
    """
    training = model.training
    counter = _Counter()
    handles = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(counter.enter(name, module)))
        handles.append(module.register_forward_hook(counter.leave(name), always_call=True))
    try:
        with torch.no_grad(), counter:
            model.eval()(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        model.train(training)
    _count_parameters(model, counter)
    return list(counter.layers.values())


def _is_low_bit(module: nn.Module) -> bool:
    return hasattr(module, "weight_bits") and hasattr(module, "activation_bits")


def _bits(module: nn.Module) -> tuple[int, int]:
    """Bits of a low-bit layer's weights and activations."""
    bits: Any = module
    return bits.weight_bits, bits.activation_bits


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Books what is dispatched on the innermost module that runs, or on the low-bit layer around it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: dict[str, LayerCost] = {}
        self.running: list[tuple[str, nn.Module]] = []

    def enter(self, name: str, module: nn.Module) -> Any:
        def hook(_module: nn.Module, _inputs: Any) -> None:
            self.running.append((name, module))
            if _is_low_bit(module) or next(module.parameters(recurse=False), None) is not None:
                self.owner()

        return hook

    def leave(self, name: str) -> Any:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            self.running.pop()
            layer = self.layers.get(name)
            if layer is None or not isinstance(output, Tensor):
                return
            layer.output = tuple(output.shape)
            if isinstance(module, _NORMS):
                layer.normalized += output.numel()
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                layer.batch_normalized += output.numel()
            if _is_low_bit(module):
                # A weight works once for each output element of its filter: (N, Co, H, W) or (..., Co).
                weight_bits, activation_bits = _bits(module)
                weight = module.get_parameter("weight")
                macs = weight.numel() * output.numel() // weight.shape[0]
                layer.bit_macs += macs * weight_bits * activation_bits

        return hook

    def owner(self) -> LayerCost:
        name, module = next((entry for entry in self.running if _is_low_bit(entry[1])), self.running[-1])
        return self.layers.setdefault(name, LayerCost(name or "network", type(module).__name__))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if any(_is_low_bit(module) for _, module in self.running):
            return result
        packet = func._overloadpacket
        if packet in flop_registry:
            # The registry counts two floating-point operations for a multiply-accumulate.
            self.owner().macs += flop_registry[packet](*args, **kwargs, out_val=result) // 2
        elif packet is torch.ops.aten.mean and args[0].dim() == 4 and result.numel() < args[0].numel():
            self.owner().averaged += args[0].numel()
        return result


def _count_parameters(model: nn.Module, counter: _Counter) -> None:
    low_bit = [name for name, module in model.named_modules() if _is_low_bit(module)]
    for name, module in model.named_modules():
        around = next((outer for outer in low_bit if name == outer or name.startswith(f"{outer}.")), None)
        for local, parameter in module.named_parameters(recurse=False):
            owner = name if around is None else around
            holder = model.get_submodule(owner)
            layer = counter.layers.setdefault(owner, LayerCost(owner or "network", type(holder).__name__))
            if around == name and local == "weight":
                _count_low_bit_weight(module, layer)
                continue
            if local == "weight" and isinstance(module, _WEIGHTED):
                layer.float_weights += parameter.numel()
            else:
                layer.float_others += parameter.numel()
            # The scales of the weights are stored once, whether they are learned or computed.
            if around is None or ".weight_binarizer" not in name:
                layer.bytes += 4 * parameter.numel()


def _count_low_bit_weight(module: nn.Module, layer: LayerCost) -> None:
    weight = module.get_parameter("weight")
    bits, activation_bits = _bits(module)
    layer.weight_bits = bits
    layer.low_bit_weights += weight.numel()
    if activation_bits == 1:
        taps = weight.numel() // weight.shape[1]
        layer.bytes += bits * (taps * words_per_tap(weight.shape[1]) * WORD_BITS // 8 + 4 * weight.shape[0])
    else:
        layer.bytes += weight.numel() + 4
