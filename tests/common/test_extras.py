"""What is missing is named by an extra that exists and brings it, in words that fit how bitsr came here."""

import ast
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

from bitsr.common.errors import MissingExtraError
from bitsr.common.extras import EXTRAS, needs

FOLDERS = ("bitsr", "training", "export", "validation")


def brought_by(extra: str) -> set[str]:
    """Names of the distributions that an extra of the installed metadata brings, through extras of our own too."""
    found: set[str] = set()
    for line in requires("bitsr") or []:
        requirement, _, condition = line.partition(";")
        if f'"{extra}"' not in condition:
            continue
        name = re.split(r"[\[<>=!~ ]", requirement.strip())[0]
        if name == "bitsr":
            for inner in re.findall(r"[a-z]+", requirement.partition("[")[2]):
                found |= brought_by(inner)
        else:
            found.add(normal(name))
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_the_table_is_what_the_package_says(extra: str) -> None:
    installed = packages_distributions()
    missing = [module for module in EXTRAS[extra] if module not in installed]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    named = {normal(name) for module in EXTRAS[extra] for name in installed[module]}
    wanted = brought_by(extra)
    assert wanted
    assert wanted <= named
    assert all(wanted & {normal(name) for name in installed[module]} for module in EXTRAS[extra])


def test_every_extra_that_the_sources_name_exists(repository: Path) -> None:
    named = set()
    for folder in FOLDERS:
        for path in (repository / folder).rglob("*.py"):
            text = path.read_text()
            named |= {(path.name, extra) for extra in re.findall(r"bitsr\[([a-z,]+)\]", text) if "{" not in extra}
            for node in ast.walk(ast.parse(text)):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                    continue
                if node.func.id not in ("MissingExtraError", "needs"):
                    continue
                values = [word.value for word in node.keywords if word.arg == "extra"]
                values += node.args[:1] if node.func.id == "needs" else []
                named |= {(path.name, value.value) for value in values if isinstance(value, ast.Constant)}
    assert {extra for _, extra in named} >= {"export", "train", "diffusion", "report"}
    unknown = {(name, extra) for name, extra in named if not set((extra or "export").split(",")) <= set(EXTRAS)}
    assert unknown == set()


def test_a_missing_package_of_the_extra_is_named() -> None:
    said = "Drawing needs the package 'jinja2', which is not installed"
    with pytest.raises(MissingExtraError, match=said) as error, needs("report", purpose="Drawing"):
        raise ModuleNotFoundError("no", name="jinja2.nodes")
    assert (error.value.package, error.value.extra) == ("jinja2", "report")
    with pytest.raises(ModuleNotFoundError, match="a mistake of ours"), needs("report", purpose="Drawing"):
        raise ModuleNotFoundError("a mistake of ours", name="bitsr.no_such_module")


def test_an_installed_package_never_says_make(repository: Path, tmp_path: Path) -> None:
    """The same messages from a copy of the package outside a checkout."""
    (tmp_path / "bitsr").mkdir()
    shutil.copy(repository / "bitsr" / "__init__.py", tmp_path / "bitsr")
    shutil.copytree(repository / "bitsr" / "common", tmp_path / "bitsr" / "common")
    shutil.copytree(repository / "bitsr" / "runtime", tmp_path / "bitsr" / "runtime")
    program = """
import sys
sys.path.insert(0, sys.argv[1])
from bitsr.common.errors import BitsrError, MissingExtraError
from bitsr.runtime import find_library
print(MissingExtraError("jinja2", extra="report", purpose="Drawing"))
print(MissingExtraError("numpy", extra=None, purpose="Drawing"))
try:
    find_library("libbitsr_tflite.so")
except BitsrError as error:
    print(error)
"""
    command = [sys.executable, "-I", "-S", "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    extra, base, library = done.stdout.splitlines()
    assert extra.endswith("install it with: pip install 'bitsr[report]'")
    assert base.endswith("install it with: pip install bitsr")
    assert library.startswith("the native library libbitsr_tflite.so was not found in ")
    assert "install bitsr again: pip install --force-reinstall --no-deps bitsr" in library
    assert "make" not in done.stdout


def test_a_checkout_says_make() -> None:
    assert str(MissingExtraError("jinja2", extra="report", purpose="Drawing")).endswith("pip install -e '.[report]'")


def test_messages_about_building_come_from_one_place(repository: Path) -> None:
    """`make build` means nothing to who installed a wheel: `bitsr.common.installation` knows which it is."""
    said = [
        str(path.relative_to(repository))
        for folder in FOLDERS
        for path in (repository / folder).rglob("*.py")
        if "make build" in path.read_text() and path.name != "installation.py"
    ]
    assert said == []
