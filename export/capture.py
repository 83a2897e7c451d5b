"""The first step of every lowering: a network captured with free height and width, or the reason why it can not be."""

import linecache
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export
from torch.overrides import TorchFunctionMode

from bitsr.common.errors import first_line
from bitsr.common.quiet import quiet
from bitsr.export.errors import ExportError

# Sides of the example: they differ, or the tracer takes them for one dimension.
_HEIGHT, _WIDTH = 24, 32
# Least sides that are tried, in turn: a deep crop, a wide reflecting pad or a pool needs some pixels to work on.
_MIN_SIDES = (2, 4, 8, 16)
# Calls that can make a map smaller than the picture.
_SHRINKING = (
    "__getitem__",
    "boolean_dispatch",
    "conv2d",
    "interpolate",
    "max_pool2d",
    "avg_pool2d",
    "pad",
    "pixel_unshuffle",
)
# What capturing raises for a network that it can not hold.
CAPTURE_ERRORS = (torch._dynamo.exc.UserError, RuntimeError, ValueError, AssertionError, TypeError, IndexError)


def capture(
    module: nn.Module, *, channels: int, side: int, refuse: Callable[[ExportedProgram], None]
) -> tuple[ExportedProgram, int]:
    """``torch.export`` with dynamic height and width, up to ``side`` each, and the least side that it takes.

    ``refuse`` raises for ops that the format has no form of, before anything else is done.

    Raises:
        ExportError: the network does not allow dynamic sizes; the call and the module that stand in the way are named.
    """
    example = torch.rand(1, channels, _HEIGHT, _WIDTH)
    first: Exception | None = None
    for least in _MIN_SIDES:
        sizes = {2: Dim("height", min=least, max=side), 3: Dim("width", min=least, max=side)}
        try:
            with torch.no_grad(), quiet():
                program = export(module, (example,), dynamic_shapes=(sizes,), strict=False)
                refuse(program)
                # A reshape to the example's size is captured without complaint and fails at the next size.
                program.module()(torch.zeros(1, channels, _HEIGHT - 3, _WIDTH - 2))
                return program, 1 if least == _MIN_SIDES[0] else least
        except CAPTURE_ERRORS as error:
            first = first or error
            if "Constraints violated" not in str(error) or _WRITTEN_FOR_ONE_SIZE.search(str(error)):
                break
    assert first is not None  # or it had returned
    raise ExportError(
        f"torch.export can not capture {type(module).__name__} with dynamic sizes: {_reason(first, module, example)}"
    ) from first


_WRITTEN_FOR_ONE_SIZE = re.compile("(inferred|specialized it) to be a constant")


def _reason(error: Exception, module: nn.Module, example: Tensor) -> str:
    text = str(error)
    guard = re.search(r"generated guard (.+?)\.?\n", text)
    if "Constraints violated" in text and guard is not None:
        where = _shrinking_call(module, example)
        if where is not None:
            return (
                f"{where} makes the map smaller than the picture, which fits some sizes alone ({_readable(guard[1])} "
                "would have to hold); keep the size: padding in convolutions and pools, no stride"
            )
        return (
            f"not every size fits its layers: {_readable(guard[1])} would have to hold; let no number of pixels follow "
            "from the sides (padding to a multiple, reshapes)"
        )
    if _WRITTEN_FOR_ONE_SIZE.search(text):
        return (
            "it is written for one size, a reshape or a table has the sides of the example; take them from x.shape, or "
            "use layers that follow the map"
        )
    line = _own_line(error)
    return f"{first_line(error)}{f' ({line})' if line else ''}"


def _readable(guard: str) -> str:
    return re.sub(r"L\['\w+'\]\.size\(\)\[(\d)\]", lambda found: {"2": "height", "3": "width"}[found[1]], guard)


def _own_line(error: BaseException) -> str:
    """The last line of the network's own code that the error came through: ``net.py, line 12: y = x[x > 0]``."""
    places = []
    traceback = error.__traceback__
    while traceback is not None:
        places.append((traceback.tb_frame.f_code.co_filename, traceback.tb_lineno))
        traceback = traceback.tb_next
    library, own = str(Path(torch.__file__).parent), str(Path(__file__).parent)
    for name, number in reversed(places):
        if not name.startswith((library, own)) and Path(name).is_file():
            return f"{Path(name).name}, line {number}: {linecache.getline(name, number).strip()}"
    return ""


def _shrinking_call(module: nn.Module, example: Tensor) -> str | None:
    """The first call that makes a map smaller than the picture: ``max_pool2d of the module 'body.0'``."""
    stack: list[str] = []
    hooks = []
    for name, child in module.named_modules():
        hooks.append(child.register_forward_pre_hook(lambda *_, name=name: stack.append(name)))
        hooks.append(child.register_forward_hook(lambda *_: stack.pop() and None))
    watch = _Watch(stack, tuple(example.shape[2:]))
    try:
        with torch.no_grad(), watch:
            module(example)
    except Exception:  # the reason of the capture is told then
        return None
    finally:
        for hook in hooks:
            hook.remove()
    return watch.found


class _Watch(TorchFunctionMode):
    def __init__(self, stack: list[str], sides: tuple[int, ...]) -> None:
        super().__init__()
        self._stack = stack
        self._sides = sides
        self.found: str | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        shape = tuple(result.shape) if isinstance(result, Tensor) else ()
        if (
            self.found is None
            and len(shape) == 4
            and min(shape[2:]) > 1
            and any(side < whole for side, whole in zip(shape[2:], self._sides, strict=True))
        ):
            name = {"__getitem__": "a slice"}.get(func.__name__, func.__name__)
            self.found = f"{name} of the module '{self._stack[-1]}'" if self._stack and self._stack[-1] else name
        return result
