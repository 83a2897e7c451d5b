"""Fold rules: how a module of the train form becomes its deploy form."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from bitsr.export.errors import ExportError
from bitsr.training.layers import BinaryConv2d

Module = TypeVar("Module", bound=nn.Module)
_RULES: dict[type[nn.Module], Callable[[Any], nn.Module]] = {}


def fold_rule(module_type: type[Module]) -> Callable[[Callable[[Module], nn.Module]], Callable[[Module], nn.Module]]:
    """Register the decorated ``rule(module) -> deploy module`` for modules of exactly ``module_type``.

    The deploy module takes the inputs of the train module and gives the same outputs.
    """

    def decorate(rule: Callable[[Module], nn.Module]) -> Callable[[Module], nn.Module]:
        if module_type in _RULES:
            raise ValueError(f"{module_type.__name__} has a fold rule already")
        _RULES[module_type] = rule
        return rule

    return decorate


def fold(module: nn.Module) -> nn.Module:
    """The deploy form of a trained module, in evaluation mode; ``module`` itself is not changed.

    A module with a rule becomes what its rule gives. One without is copied with its children folded, which is right
    as long as it only calls them.

    Raises:
        ExportError: a binary convolution would remain in its train form because no rule covers its parent.
    """
    folded = _fold(module)
    left = [name or type(layer).__name__ for name, layer in folded.named_modules() if isinstance(layer, BinaryConv2d)]
    if left:
        raise ExportError(
            f"no fold rule covers the binary convolution '{left[0]}' ({len(left)} in all) of {type(module).__name__}; "
            "register one for the module that contains it with bitsr.export.deploy.fold_rule"
        )
    return folded.eval().requires_grad_(False)


def _fold(module: nn.Module) -> nn.Module:
    rule = _RULES.get(type(module))
    if rule is not None:
        return rule(module)
    # The copy takes the folded children as it meets the old ones: a child under two names stays one module.
    memo: dict[int, Any] = {id(child): _fold(child) for child in module.children()}
    return copy.deepcopy(module, memo)
