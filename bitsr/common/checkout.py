"""Where the sources lie."""

from pathlib import Path


def top_folder() -> Path:
    """The folder that holds the folder ``bitsr``: the top of a checkout, or ``site-packages`` of an installed wheel."""
    return Path(__file__).resolve().parents[2]
