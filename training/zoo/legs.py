"""What each leg of the relay did and measured: a table in YAML, from which the page is written."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml

from bitsr.common.errors import TrainingError
from bitsr.common.files import atomic_write

BEGIN, END = "<!-- legs -->", "<!-- end of legs -->"
SETS = ("Set5", "Set14", "B100")


@dataclass(frozen=True)
class Leg:
    """Steps ``first`` (exclusive) to ``last`` (inclusive) of a model's training.

    ``psnr`` has the mean PSNR in dB of the best averaged weights so far, by set, as they are stored; ``shipped`` says
    that they replaced what was shipped. ``seconds`` is the time of a step with validation and start, on ``device``.
    """

    date: str
    model: str
    first: int
    last: int
    device: str
    seconds: float
    psnr: dict[str, float] = field(default_factory=dict)
    shipped: bool = False


def read_legs(path: Path) -> list[Leg]:
    """The legs so far; none where there is no file.

    Raises:
        TrainingError: the file is broken.
    """
    if not path.is_file():
        return []
    try:
        return [Leg(**leg) for leg in yaml.safe_load(path.read_text(encoding="utf-8")) or []]
    except (yaml.YAMLError, TypeError) as error:
        raise TrainingError(
            f"cannot read the legs in {path}: {' '.join(str(error).split())}; restore it from git"
        ) from error


def add_leg(path: Path, leg: Leg) -> list[Leg]:
    """Append a leg to the file; returns all of them."""
    legs = [*read_legs(path), leg]
    with atomic_write(path) as temporary:
        text = yaml.safe_dump([asdict(leg) for leg in legs], sort_keys=False, width=120)
        temporary.write_text(text, encoding="utf-8")
    return legs


def table(legs: list[Leg]) -> str:
    """The legs as a table in Markdown."""
    lines = [
        f"| date | model | steps | device | s a step | {' | '.join(SETS)} | shipped |",
        f"|---|---|---|---|---|{'---|' * len(SETS)}---|",
    ]
    for leg in legs:
        psnr = " | ".join(f"{leg.psnr[name]:.2f}" if name in leg.psnr else "" for name in SETS)
        lines.append(
            f"| {leg.date} | `{leg.model}` | {leg.first} to {leg.last} | {leg.device} | {leg.seconds:.3f} | {psnr} | "
            f"{'yes' if leg.shipped else 'no'} |"
        )
    return "\n".join(lines)


def write_page(page: Path, legs: list[Leg]) -> None:
    """Bring the table of legs on a page up to date, between its two marks.

    Raises:
        TrainingError: the page lacks the marks.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise TrainingError(
            f"{page} lacks the lines '{BEGIN}' and '{END}' around the table of legs; restore them from git"
        )
    with atomic_write(page) as temporary:
        temporary.write_text(f"{before}{begin}\n{table(legs)}\n{end}{after}", encoding="utf-8")
