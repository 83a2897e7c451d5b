"""Folds: how a module of the train form becomes its deploy form."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from bitsr.common.errors import BitsrError, first_line
from bitsr.export.errors import ExportError
from bitsr.training.layers import BinaryConv2d

# A class of deploy modules that is made from the train module alone, or a function that gives a deploy module.
Fold = TypeVar("Fold", bound=Callable[[Any], nn.Module])
_FOLDS: dict[type[nn.Module], Callable[[Any], nn.Module]] = {}


def folds(module_type: type[nn.Module]) -> Callable[[Fold], Fold]:
    """Register the decorated class or function: ``fold(module)`` is the deploy form of exactly ``module_type``.

    The deploy module takes the inputs of the train module and gives the same outputs.

    Raises:
        ValueError: ``module_type`` has a fold already.
    """

    def decorate(fold: Fold) -> Fold:
        if module_type in _FOLDS:
            raise ValueError(f"{module_type.__name__} has a fold already")
        _FOLDS[module_type] = fold
        return fold

    return decorate


def fold(module: nn.Module) -> nn.Module:
    """The deploy form of a trained module, in evaluation mode; ``module`` itself is not changed.

    A module with a fold becomes what its fold gives. One without is copied with its children folded, which is right
    as long as it only calls them.

    Raises:
        ExportError: a binary convolution would remain in its train form because no fold covers its parent, or a fold
            fails.
    """
    folded = _fold(module)
    left = [name or type(layer).__name__ for name, layer in folded.named_modules() if isinstance(layer, BinaryConv2d)]
    if left:
        raise ExportError(
            f"no fold covers the binary convolution '{left[0]}' ({len(left)} in all) of {type(module).__name__}; "
            "register one for the module that contains it with bitsr.export.deploy.folds"
        )
    return folded.eval().requires_grad_(False)


def _fold(module: nn.Module) -> nn.Module:
    registered = _FOLDS.get(type(module))
    if registered is not None:
        try:
            return registered(module)
        except BitsrError:
            raise
        except Exception as error:
            raise ExportError(
                f"the fold '{registered.__name__}' of {type(module).__name__} fails ({type(error).__name__}: "
                f"{first_line(error)}); correct it"
            ) from error
    # The copy takes the folded children as it meets the old ones: a child under two names stays one module.
    memo: dict[int, Any] = {id(child): _fold(child) for child in module.children()}
    return copy.deepcopy(module, memo)
