"""Commands from annotated functions, on argparse.

A parameter says how it is given: ``scale: Annotated[int | None, Option("--scale", "-s", min=1, help="...")] = None``.
Options may stand before, between and after the arguments. The larger libraries for this take longer to start than a
photo takes to be enlarged.
"""

import argparse
import inspect
import math
import os
import re
import shutil
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, NoReturn, get_args, get_origin, get_type_hints

from bitsr.common.errors import UsageError

Function = Callable[..., int | None]
_EMPTY = inspect.Parameter.empty


@dataclass(frozen=True)
class Argument:
    """A parameter by its place. ``show_default`` words the default in --help; False hides it."""

    help: str
    metavar: str | None = None
    show_default: str | bool = True


@dataclass(frozen=True, init=False)
class Option:
    """A parameter by its name: ``names`` with their dashes, or "--" and the parameter's name.

    ``--yes/--no`` is a pair of switches. ``min`` and ``max`` bound numbers; a list is an option that may be repeated.
    """

    names: tuple[str, ...]
    help: str
    min: float | None
    max: float | None
    show_default: str | bool

    def __init__(
        self,
        *names: str,
        help: str,
        min: float | None = None,
        max: float | None = None,
        show_default: str | bool = True,
    ) -> None:
        for name, value in (("names", names), ("help", help), ("min", min), ("max", max)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "show_default", show_default)


@dataclass(frozen=True)
class _Parameter:
    name: str
    kind: type[Any]
    many: bool
    default: Any
    given: Argument | Option

    @property
    def required(self) -> bool:
        return self.default is _EMPTY

    @property
    def names(self) -> tuple[str, ...]:
        """Of an option, with their dashes; a pair of switches is one."""
        if isinstance(self.given, Argument):
            return ()
        return self.given.names or (f"--{self.name.replace('_', '-')}",)

    @property
    def metavar(self) -> str:
        named = self.given.metavar if isinstance(self.given, Argument) else None
        return named or self.name.upper()

    @property
    def help(self) -> str:
        """The help with what is left unsaid in it, and with argparse's own sign doubled."""
        shown = self.given.show_default
        if shown is True:
            shown = "" if self.required or self.default in (None, False) else _shown(self.default)
        limits = _limits(self.given) if isinstance(self.given, Option) else ""
        more = ", ".join(part for part in (limits, f"default: {shown}" if shown else "") if part)
        return (f"{self.given.help} [{more}]" if more else self.given.help).replace("%", "%%")

    def value(self, text: str) -> Any:
        """What a word means; raises ArgumentTypeError for a wrong one."""
        if issubclass(self.kind, Enum):
            choices = [str(choice.value) for choice in self.kind]
            if text not in choices:
                raise argparse.ArgumentTypeError(f"'{text}' is none of {', '.join(choices)}")
            return self.kind(text)
        if issubclass(self.kind, Path) and not text:
            # It would be the folder one is in: `bitsr upscale "$PHOTO"` without a PHOTO is no wish to upscale that.
            raise argparse.ArgumentTypeError("it is empty; expected a file or folder, as in . or photo.png")
        try:
            value = self.kind(text)
            # Python reads 2_0 as 20, and takes NaN for a number, which no limit keeps out.
            if self.kind in (int, float) and ("_" in text or math.isnan(value)):
                raise ValueError
        except ValueError:
            what = {int: "whole number", float: "number"}.get(self.kind, self.kind.__name__)
            raise argparse.ArgumentTypeError(f"'{text}' is no {what}") from None
        limits = self.given if isinstance(self.given, Option) else None
        if limits is not None and not _within(value, limits):
            raise argparse.ArgumentTypeError(f"{text} is out of range; expected a number {_limits(limits)}")
        return value


def _within(value: Any, limits: Option) -> bool:
    return (limits.min is None or value >= limits.min) and (limits.max is None or value <= limits.max)


def _limits(option: Option) -> str:
    if option.min is None and option.max is None:
        return ""
    if option.max is None:
        return f"from {option.min} on"
    return f"at most {option.max}" if option.min is None else f"from {option.min} to {option.max}"


def _shown(default: Any) -> str:
    return str(default.value) if isinstance(default, Enum) else str(default)


class _Parser(argparse.ArgumentParser):
    """Options only; what is wrong is a UsageError that names the help."""

    def error(self, message: str) -> NoReturn:
        message = re.sub(r"ignored explicit argument (.*)", r"it takes no value, but has \1", message)
        if message.endswith("expected one argument"):
            message += " (one that begins with - is given as ./-NAME)"
        raise UsageError(f"{message}; `{self.prog} --help` shows how")


@dataclass(frozen=True)
class _Command:
    path: str
    function: Function
    short_help: str
    epilog: str

    def run(self, arguments: Sequence[str]) -> int:
        parameters = _parameters(self.function)
        # Before the rest is parsed: it helps where something is missing, too.
        if any(word in ("-h", "--help") for word in _before_end(arguments)):
            print(self._parser(parameters, with_arguments=True).format_help().rstrip(), flush=True)
            return 0
        parser = self._parser(parameters, with_arguments=False)
        # What follows "--" is no option, whatever it begins with.
        head = _before_end(arguments)
        values, words = parser.parse_known_args(head)
        for word in words:
            if word.startswith("-") and word != "-":
                name = word.partition("=")[0]
                known = [name for one in parameters for pair in one.names for name in pair.split("/")]
                near = _nearest(name, [*known, "--help", "--debug"])
                parser.error(f"there is no option {name}{f'; the file is ./{word}' if os.path.exists(word) else near}")
        places = [parameter for parameter in parameters if isinstance(parameter.given, Argument)]
        chosen = {name: value for name, value in vars(values).items() if value is not _EMPTY and value is not None}
        chosen |= self._placed(parser, places, [*words, *arguments[len(head) + 1 :]])
        return self.function(**chosen) or 0

    def _placed(self, parser: _Parser, places: Sequence[_Parameter], words: Sequence[str]) -> dict[str, Any]:
        """Words in the order of the arguments; one that takes many takes what is left."""
        chosen: dict[str, Any] = {}
        left = list(words)
        for place in places:
            if not left:
                if place.required:
                    parser.error(f"there is no {place.metavar}")
                break
            try:
                if place.many:
                    chosen[place.name] = [place.value(word) for word in left]
                    left = []
                else:
                    chosen[place.name] = place.value(left.pop(0))
            except argparse.ArgumentTypeError as error:
                parser.error(f"{place.metavar}: {error}")
        if left:
            parser.error(f"there is no place for {' '.join(left)}")
        return chosen

    def _parser(self, parameters: Sequence[_Parameter], *, with_arguments: bool) -> _Parser:
        paragraphs = inspect.cleandoc(self.function.__doc__ or "").split("\n\n")
        parser = _Parser(
            self.path,
            description="\n\n".join(textwrap.fill(paragraph, _width()) for paragraph in paragraphs),
            epilog=self.epilog,
            formatter_class=_formatter,
            allow_abbrev=False,
        )
        places = parser.add_argument_group("arguments")
        for parameter in parameters:
            if isinstance(parameter.given, Option):
                _add_option(parser, parameter)
            elif with_arguments:
                count = {(True, False): "*", (True, True): "+", (False, False): "?"}.get(
                    (parameter.many, parameter.required)
                )
                places.add_argument(parameter.name, metavar=parameter.metavar, nargs=count, help=parameter.help)
        return parser


def _add_option(parser: _Parser, parameter: _Parameter) -> None:
    names = parameter.names
    common: dict[str, Any] = {"dest": parameter.name, "default": _EMPTY, "required": parameter.required}
    if parameter.kind is bool:
        yes = [name.partition("/")[0] for name in names]
        parser.add_argument(*yes, action="store_true", help=parameter.help, **common)
        for name in names:
            if "/" in name:
                parser.add_argument(name.partition("/")[2], action="store_false", help="The opposite.", **common)
        return
    if parameter.many:
        common |= {"action": "append", "default": None}
    parser.add_argument(*names, type=parameter.value, metavar=_metavar(parameter.kind), help=parameter.help, **common)


def _metavar(kind: type) -> str:
    if issubclass(kind, Enum):
        return "|".join(str(choice.value) for choice in kind)
    return {int: "N", float: "N", str: "TEXT"}.get(kind, kind.__name__.upper())


def _before_end(arguments: Sequence[str]) -> list[str]:
    words = list(arguments)
    return words[: words.index("--")] if "--" in words else words


def _parameters(function: Function) -> list[_Parameter]:
    hints = get_type_hints(function, include_extras=True)
    return [
        _parameter(name, hints[name], parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
    ]


def _parameter(name: str, hint: Any, default: Any) -> _Parameter:
    assert get_origin(hint) is Annotated, f"{name} says neither Option nor Argument"
    kind, given = get_args(hint)
    if get_origin(kind) is UnionType:
        kind = next(one for one in get_args(kind) if one is not NoneType)
    many = get_origin(kind) is list
    return _Parameter(name, get_args(kind)[0] if many else kind, many, default, given)


def _width() -> int:
    return max(30, min(80, shutil.get_terminal_size().columns) - 2)


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, width=_width(), max_help_position=26)


def _nearest(word: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    # Dashes alone make no two options alike, nor is a single letter a misspelt word.
    by_name = {name.lstrip("-"): name for name in known if len(name.lstrip("-")) > 1}
    near = [by_name[name] for name in get_close_matches(word.lstrip("-").lower(), list(by_name), n=1)]
    return f"; did you mean {near[0]}?" if near else ""


@dataclass(frozen=True)
class Commands:
    """Commands by name, or one more level of them (``bitsr figure crops``)."""

    path: str
    help: str
    epilog: str = ""
    options_help: str = ""
    _commands: "dict[str, _Command | Commands]" = field(default_factory=dict)

    def add(self, name: str, function: Function, *, short_help: str, epilog: str) -> None:
        """A command: its help is the function's docstring, its exit code what the function returns, 0 for None."""
        self._commands[name] = _Command(f"{self.path} {name}", function, short_help, epilog)

    def add_group(self, name: str, *, help: str) -> "Commands":
        """A command with commands of its own."""
        group = Commands(f"{self.path} {name}", help)
        self._commands[name] = group
        return group

    @property
    def short_help(self) -> str:
        return self.help

    def run(self, arguments: Sequence[str]) -> int:
        """Run the command that the first word names; returns its exit code.

        Raises:
            UsageError: there is no such command, or its arguments are wrong.
        """
        if not arguments or arguments[0] in ("-h", "--help"):
            print(self.format_help(), flush=True)
            return 0
        command = self._commands.get(arguments[0])
        if command is None:
            what = "option" if arguments[0].startswith("-") else "command"
            options = re.findall(r"--[\w-]+", self.options_help) or ["--help"]
            near = _nearest(arguments[0], options if what == "option" else list(self._commands))
            raise UsageError(f"there is no {what} {arguments[0] or repr('')}{near}; `{self.path} --help` lists them")
        return command.run(arguments[1:])

    def format_help(self) -> str:
        longest = max(map(len, self._commands))
        lines = [
            textwrap.fill(
                command.short_help,
                _width(),
                initial_indent=f"  {name:<{longest}}  ",
                subsequent_indent=" " * (longest + 4),
            )
            for name, command in self._commands.items()
        ]
        options = f"\n\noptions:\n{self.options_help}" if self.options_help else ""
        epilog = f"\n\n{self.epilog}" if self.epilog else ""
        usage = f"usage: {self.path} [options] COMMAND ..." if self.options_help else f"usage: {self.path} COMMAND ..."
        return f"{usage}\n\n{textwrap.fill(self.help, _width())}\n\ncommands:\n" + "\n".join(lines) + options + epilog
