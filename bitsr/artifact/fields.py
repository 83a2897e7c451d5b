"""Dataclasses whose fields are checked when they are made, and made of JSON: for what is read with every artifact.

A field says what it takes: ``scale: int = checked(whole(least=1))``. A library for this costs more time at each start
than reading the artifact.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

import numpy as np

# Returns the value as it is kept; raises ProblemError for another one.
Check = Callable[[Any], Any]
# A value of JSON that holds no others.
Setting = bool | int | float | str | None
_Fields = TypeVar("_Fields", bound="CheckedFields")
_CHECK = "check"
_LONGEST = 80


class ProblemError(ValueError):
    """What is wrong with a value: ``text`` is said of ``path``, its place from the outermost object on."""

    def __init__(self, text: str, path: tuple[str, ...] = ()) -> None:
        self.text = text
        self.path = path
        super().__init__(f"{'.'.join(map(_named, path)) or 'the content'} {text}")

    def within(self, *outer: str) -> "ProblemError":
        """The same problem, seen from outside."""
        return ProblemError(self.text, (*outer, *self.path))


def checked(check: Check, **how: Any) -> Any:
    """A field of a dataclass with its check; ``how`` as for :func:`dataclasses.field`."""
    return field(metadata={_CHECK: check}, **how)


@dataclass(frozen=True)
class CheckedFields:
    """Base of frozen dataclasses whose fields are :func:`checked`.

    Raises:
        ProblemError: a value is none that its field takes.
    """

    def __post_init__(self) -> None:
        for known in fields(self):
            try:
                value = known.metadata[_CHECK](getattr(self, known.name))
            except ProblemError as error:
                raise error.within(known.name) from None
            object.__setattr__(self, known.name, value)


def from_object(kind: type[_Fields], data: Any) -> _Fields:
    """A ``kind`` from an object of JSON; every key is a field, and no field without a default is missing.

    Raises:
        ProblemError: it is no object, has other keys, lacks one, or a value is wrong.
    """
    if not isinstance(data, dict):
        raise ProblemError(f"is {shown(data)}, expected an object")
    known = {one.name: one for one in fields(kind)}
    for name, one in known.items():
        if name not in data and one.default is MISSING and one.default_factory is MISSING:
            raise ProblemError("is missing", (name,))
    for name, value in data.items():
        if name not in known:
            raise ProblemError(f"is {shown(value)}, but there is no such field", (name,))
    return kind(**data)


def whole(*, least: int, most: int | None = None) -> Check:
    """A whole number from ``least`` to ``most``."""

    def check(value: Any) -> int:
        if type(value) is not int:
            raise ProblemError(f"is {shown(value)}, expected a whole number")
        if value < least or (most is not None and value > most):
            limits = f"from {least} on" if most is None else f"from {least} to {most}"
            raise ProblemError(f"is {shown(value)}, expected a whole number {limits}")
        return value

    return check


def number(value: Any) -> float:
    """A finite number."""
    if type(value) not in (int, float):
        raise ProblemError(f"is {shown(value)}, expected a number")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise ProblemError(f"is {shown(value)}, expected a finite number")
    return result


def number_between(low: float, high: float) -> Check:
    """A number above ``low`` and below ``high``."""

    def check(value: Any) -> float:
        result = number(value)
        if not low < result < high:
            raise ProblemError(f"is {shown(value)}, expected a number between {low:g} and {high:g}")
        return result

    return check


def ascending_pair(*, most: float) -> Check:
    """Two numbers of at most ``most`` without their signs, the lower one first as float32 too."""

    def check(value: Any) -> tuple[float, float]:
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            raise ProblemError(f"is {shown(value)}, expected two numbers")
        low, high = number(value[0]), number(value[1])
        if max(abs(low), abs(high)) > most or not np.float32(low) < np.float32(high):
            raise ProblemError(f"is [{low}, {high}], expected the lower limit first, both from -{most} to {most}")
        return low, high

    return check


def yes_or_no(value: Any) -> bool:
    """True or false, and no number for it."""
    if not isinstance(value, bool):
        raise ProblemError(f"is {shown(value)}, expected true or false")
    return value


def text(value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        raise ProblemError(f"is {shown(value)}, expected a text")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise ProblemError(f"is {shown(value)}, expected a text in Unicode, without halves of characters")
    return value


def plain(value: Any) -> Setting:
    """A number, a text, true or false, or null."""
    if value is None or isinstance(value, bool) or type(value) is int:
        return value
    if isinstance(value, str):
        return text(value)
    return number(value)


def one_of(*choices: Any) -> Check:
    """One of several values, of the same type."""

    def check(value: Any) -> Any:
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            raise ProblemError(f"is {shown(value)}, expected {' or '.join(map(repr, choices))}")
        return value

    return check


def sha256(value: Any) -> str:
    """A SHA-256 in hexadecimal."""
    if not re.fullmatch("[0-9a-f]{64}", text(value)):
        raise ProblemError(f"is {shown(value)}, expected 64 hexadecimal digits")
    return str(value)


def optional(check: Check) -> Check:
    """None, or what ``check`` takes."""
    return lambda value: None if value is None else check(value)


def list_of(check: Check) -> Check:
    """A list, each entry of which ``check`` takes."""

    def check_all(value: Any) -> list[Any]:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ProblemError(f"is {shown(value)}, expected a list")
        return [_inside(str(index), check, entry) for index, entry in enumerate(value)]

    return check_all


def dict_of(check: Check) -> Check:
    """An object of any keys, whose values ``check`` takes."""

    def check_all(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ProblemError(f"is {shown(value)}, expected an object")
        return {text(key): _inside(key, check, entry) for key, entry in value.items()}

    return check_all


def made_of(kind: type[CheckedFields]) -> Check:
    """A ``kind``, or an object of JSON that makes one."""
    return lambda value: value if isinstance(value, kind) else from_object(kind, value)


def shown(value: Any) -> str:
    """A value in a message, which is one short line whatever the file holds."""
    words = repr(value)
    return words if len(words) <= _LONGEST else words[:_LONGEST] + "..."


def _named(part: str) -> str:
    """A part of a path in a message; keys of a file may be anything."""
    return part if part.isprintable() and len(part) <= _LONGEST else shown(part)


def _inside(place: str, check: Check, value: Any) -> Any:
    try:
        return check(value)
    except ProblemError as error:
        raise error.within(place) from None
