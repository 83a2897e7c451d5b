"""What a report says about the machine and the build."""

import re
from pathlib import Path

from bitsr.validation.conditions import build_type, commit, conditions


def test_the_build_type_is_that_of_the_librarys_build_tree(tmp_path: Path) -> None:
    library = tmp_path / "native" / "tflite" / "lib.so"
    assert build_type(library) is None
    library.parent.mkdir(parents=True)
    (tmp_path / "native" / "CMakeCache.txt").write_text("A:STRING=1\nCMAKE_BUILD_TYPE:STRING=Debug\n")
    assert build_type(library) == "Debug"


def test_the_commit_is_that_of_the_checkout(repository: Path) -> None:
    found = commit()
    if (repository / ".git").exists():
        assert found is not None
        assert re.fullmatch(r"[0-9a-f]{40}(\+changes)?", found)
    else:
        assert found is None


def test_a_package_that_is_missing_has_no_version(tmp_path: Path) -> None:
    facts = conditions(tmp_path / "lib.so", packages=("torch", "no-such-package"))
    assert facts["versions"]["torch"]
    assert facts["versions"]["no-such-package"] is None
    assert len(facts["load_average"]) == 3
    assert facts["cores"] >= 1
