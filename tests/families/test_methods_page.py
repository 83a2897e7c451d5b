"""docs/methods.md: it names every family, and its costs are what is counted."""

import fnmatch
import re
from pathlib import Path

import pytest

from bitsr.training.cost import convention, model_cost
from bitsr.training.models import list_models

# Of the picture that each paper counts its table for.
SIZES = {"ebsr": (1, 3, 128, 128), "bbcu": (1, 3, 180, 320), "bidiffsr": (1, 3, 128, 128)}


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "methods.md").read_text(encoding="utf-8")


def test_every_family_is_named(page: str) -> None:
    table = page.partition("| ids |")[2].partition("\n\n")[0]
    patterns = [name for line in table.splitlines() for name in re.findall(r"`([^`]+)`", line.split("|")[1:2][0])]
    families = {name.rpartition("_x")[0] for name in list_models() if not name.startswith(("test_", "mix_"))}
    assert len(families) > 30
    assert not [name for name in sorted(families) if not any(fnmatch.fnmatch(name, p) for p in patterns)]
    assert not [p for p in patterns if not fnmatch.filter(families, p)]


def test_every_family_has_a_row_of_the_closing_table(repository: Path) -> None:
    """Ids and patterns of its first column; a name that begins with "_" goes on from the one before."""
    text = (repository / "docs" / "families.md").read_text(encoding="utf-8")
    known: list[str] = []
    for line in text.partition("| family |")[2].partition("\n\n")[0].splitlines()[2:]:
        first = ""
        for name in re.findall(r"`([^`]+)`", line.split("|")[1]):
            first = first or name.rpartition("_")[0] or name
            known.append(f"{first}{name}" if name.startswith("_") else name)
    ids = {name.rpartition("_x")[0] for name in list_models() if not name.startswith(("test_", "mix_"))}
    assert not [name for name in sorted(ids) if not any(fnmatch.fnmatch(name, pattern) for pattern in known)]
    assert not [pattern for pattern in known if not fnmatch.filter(ids, pattern)]


def test_the_costs_are_what_is_counted(page: str) -> None:
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    rows = [row for row in rows if len(row) == 6 and row[1] in SIZES]
    assert len(rows) > 20
    for model_id, name, _, operations, _, parameters in rows:
        layers = model_cost(model_id, size=SIZES[name])
        way = convention(name)
        assert f"{way.operations(layers) / 1e9:.3f}" == operations, model_id
        assert f"{way.parameters(layers) / 1e6:.3f}" == parameters, model_id
