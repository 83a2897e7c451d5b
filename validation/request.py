"""What a validation is asked for."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from bitsr.common.errors import UsageError
from bitsr.common.pictures import list_pictures


@dataclass(frozen=True)
class Request:
    """What to validate; see the options of ``bitsr validate``."""

    source: Path
    targets: str = "host"
    images: Path | None = None
    weights: Path | None = None
    seed: int = 0
    op: int | None = None
    pictures: int | None = None
    threads: str = "1,n"
    runs: int | None = None

    def command(self, *, source: Path | None = None, on: str | None = None, **more: object) -> str:
        """The command line that asks for this, or for a part of it."""
        options: dict[str, object] = {"on": on or self.targets, "images": self.images, "weights": self.weights}
        options.update({"seed": self.seed, "pictures": self.pictures, "op": self.op})
        options["threads"] = self.threads if self.threads != Request.threads else None
        options["runs"] = self.runs
        options.update(more)
        words = ["bitsr", "validate", str(source or self.source)]
        for name, value in options.items():
            words += [] if value is None else [f"--{name}", str(value)]
        return shlex.join(words)


def artifacts(source: Path) -> list[Path]:
    """The artifacts of an export folder, or the one that is named; one in stock ops (``_stock``) only where named.

    Raises:
        UsageError: there is none.
    """
    if source.is_file():
        return [source]
    found = sorted([*source.glob("*.pte"), *source.glob("*.tflite")])
    found = [path for path in found if not path.stem.endswith("_stock")]
    if not found:
        raise UsageError(f"there is no .pte or .tflite in {source}; write them with: bitsr export MODEL -o {source}")
    return found


def originals(request: Request) -> list[Path]:
    """The originals that are asked for; none where a single op is."""
    if request.images is None or request.op is not None:
        return []
    found = [request.images] if request.images.is_file() else list_pictures(request.images)
    return found[: request.pictures]
