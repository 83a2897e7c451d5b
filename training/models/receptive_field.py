"""How far a body looks, found from its layers."""

from torch import nn


def receptive_field_radius(module: nn.Module) -> int:
    """How many pixels far the output of a module of layers in series looks.

    The sum over its layers; a module that is no series (branches side by side, or functions that look around) states
    its own as an attribute ``receptive_field_radius``.
    """
    stated = getattr(module, "receptive_field_radius", None)
    if stated is not None:
        return int(stated)
    size = getattr(module, "kernel_size", None)
    if size is not None:
        side = size if isinstance(size, int) else max(size)
        dilation = getattr(module, "dilation", 1)
        return (side // 2) * (dilation if isinstance(dilation, int) else max(dilation))
    return sum(receptive_field_radius(child) for child in module.children())


def pools_globally(module: nn.Module) -> bool:
    """Whether a part of it has means over the whole picture: it says so as an attribute ``global_pooling``."""
    return any(
        isinstance(part, nn.AdaptiveAvgPool2d) or getattr(part, "global_pooling", False) for part in module.modules()
    )
