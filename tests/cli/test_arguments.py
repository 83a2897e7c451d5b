"""The words of a command line: options in any place, what they mean, and what is said of wrong ones."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pytest

from bitsr.cli.arguments import Argument, Commands, Option
from bitsr.common.errors import UsageError


class Colour(StrEnum):
    red = "red"
    green = "green"


def paint(
    picture: Annotated[Path, Argument(help="A picture, 100 % of it.")],
    more: Annotated[list[str] | None, Argument(help="Others.", metavar="OTHER")] = None,
    colour: Annotated[Colour, Option(help="The colour.")] = Colour.red,
    coats: Annotated[int, Option("--coats", "-c", min=1, max=9, help="How often.")] = 1,
    tag: Annotated[list[str] | None, Option("--tag", "-t", help="A word; may be repeated.")] = None,
    dry: Annotated[bool, Option("--dry/--wet", help="Wait for it.")] = True,
    fast: Annotated[bool, Option("--fast", "-f", help="Hurry.")] = False,
    folder: Annotated[Path | None, Option("--dir", help="Where.")] = None,
    hours: Annotated[float | None, Option(help="How long.")] = None,
) -> int:
    """Paint a picture.

    Nothing is wasted.
    """
    SEEN.append(locals())
    return 3 if fast else 0


def wash(brush: Annotated[str, Option("--brush", help="Which.")]) -> None:
    """Wash a brush."""
    SEEN.append(locals())


SEEN: list[dict[str, Any]] = []
APP = Commands("house", "Paint a house.", epilog="Example:\n  house paint a.png", options_help="  --loud  Sing.")
APP.add("paint", paint, short_help="Paint.", epilog="Example:\n  house paint a.png")
APP.add_group("tools", help="Tools.").add("wash", wash, short_help="Wash.", epilog="")
USUAL = {
    "more": None,
    "colour": Colour.red,
    "coats": 1,
    "tag": None,
    "dry": True,
    "fast": False,
    "folder": None,
    "hours": None,
}


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("a.png", {}),
        ("--coats 3 a.png", {"coats": 3}),
        ("a.png -c3 b c", {"coats": 3, "more": ["b", "c"]}),
        ("a.png b --coats=3 c", {"coats": 3, "more": ["b", "c"]}),
        ("-fc 3 a.png", {"coats": 3, "fast": True}),
        ("-t x a.png --tag y", {"tag": ["x", "y"]}),
        ("a.png --wet", {"dry": False}),
        ("a.png --wet --dry", {"dry": True}),
        ("a.png --colour green", {"colour": Colour.green}),
        ("a.png -", {"more": ["-"]}),
        ("a.png -c=3 -t=-x", {"coats": 3, "tag": ["-x"]}),
        ("--fast a.png -- -c --help", {"more": ["-c", "--help"], "fast": True}),
    ],
)
def test_what_words_mean(words: str, changed: dict[str, Any]) -> None:
    SEEN.clear()
    code = APP.run(["paint", *words.split()])
    # What nobody gave is not handed over: the function's own default counts.
    assert [{"picture": Path("a.png"), **USUAL, **changed}] == SEEN
    assert code == (3 if SEEN[0]["fast"] else 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("paint", "there is no PICTURE; `house paint --help` shows how"),
        ("paint a --coats 10", "10 is out of range; expected a number from 1 to 9; `house paint --help`"),
        ("paint a -t -- b", "--tag/-t: expected one argument"),
        ("paint a --coats x", "'x' is no whole number"),
        ("paint a --colour blue", "'blue' is none of red, green"),
        ("paint a --coats 0_3", "'0_3' is no whole number"),
        ("paint a --hours nan", "'nan' is no number"),
        ("paint a --fast=1", "--fast/-f: it takes no value, but has '1'"),
        ("paint a -fx", "it takes no value, but has 'x'"),
        ("paint a -t -x", "expected one argument (one that begins with - is given as ./-NAME)"),
        ("paint a --debgu", "there is no option --debgu; did you mean --debug?"),
        ("paint a --x", "there is no option --x; `house"),
        ("PAINT", "there is no command PAINT; did you mean paint?"),
        ("--luod", "there is no option --luod; did you mean --loud?"),
        ("paint a --coatz 3", "there is no option --coatz; did you mean --coats?"),
        ("paint a --coa 3", "there is no option --coa"),
        ("paint a --wett", "did you mean --wet?"),
        ("tools wash", "the following arguments are required: --brush"),
        ("tools wash --brush 1 x y", "there is no place for x y"),
        ("tools wahs", "there is no command wahs; did you mean wash?; `house tools --help` lists them"),
        ("pain", "there is no command pain; did you mean paint?"),
        ("--quiet", "there is no option --quiet; `house --help` lists them"),
    ],
)
def test_what_is_said_of_wrong_words(words: str, said: str) -> None:
    SEEN.clear()
    with pytest.raises(UsageError) as error:
        APP.run(words.split())
    assert said in str(error.value)
    assert SEEN == []


@pytest.mark.parametrize("words", [["paint", ""], ["paint", "a.png", "", "--dir", ""], ["paint", "a.png", "--dir="]])
def test_an_empty_path_is_not_the_folder_one_is_in(words: list[str]) -> None:
    SEEN.clear()
    with pytest.raises(UsageError, match="it is empty; expected a file or folder"):
        APP.run(words)
    assert SEEN == []


def test_a_file_whose_name_looks_like_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "-a.png").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"there is no option -a\.png; the file is \./-a\.png"):
        APP.run(["paint", "-a.png"])


@pytest.mark.parametrize("words", ["", "--help", "tools", "tools -h", "paint --help", "paint --coats x -h"])
def test_help_is_there_whatever_else_is_wrong(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert APP.run(words.split()) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: house")
    if "paint" in words:
        for part in (
            "100 % of it",
            "[from 1 to 9, default: 1]",
            "[default: red]",
            "Nothing is wasted.",
            "Example:",
            "OTHER",
        ):
            assert part in shown
    elif "tools" not in words:
        assert "  paint  Paint." in shown
        assert "--loud" in shown
