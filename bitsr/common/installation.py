"""How this copy of bitsr came here, a checkout of its sources or an installed wheel, and what mends it."""

from pathlib import Path


def top_folder() -> Path:
    """The folder that holds the folder ``bitsr``: the top of a checkout, or ``site-packages`` of an installed wheel."""
    return Path(__file__).resolve().parents[2]


def checkout() -> Path | None:
    """The checkout that this package lies in; ``None`` where it is installed."""
    root = top_folder()
    return root if (root / "runtime" / "CMakeLists.txt").is_file() and (root / "pyproject.toml").is_file() else None


def how_to_rebuild(target: str = "build") -> str:
    """What makes the native libraries and programs anew, for the end of a message.

    ``target`` is the Makefile's. What a wheel holds needs no tools and no sources to mend.
    """
    if checkout() is not None:
        return f"build it with `make {target}`"
    if target == "build":
        return "install bitsr again: pip install --force-reinstall --no-deps bitsr"
    return f"a checkout of bitsr builds it with `make {target}`"


def how_to_install(extra: str | None) -> str:
    """The command that installs what an extra names, or what bitsr itself needs."""
    place = "." if checkout() is not None else "bitsr"
    wanted = f"'{place}[{extra}]'" if extra else place
    return f"pip install -e {wanted}" if place == "." else f"pip install {wanted}"
