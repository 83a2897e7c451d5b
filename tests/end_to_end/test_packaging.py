"""The wheel holds the product and nothing else, and works where it is installed."""

import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from PIL import Image

PACKAGES = ("bitsr", "training", "export", "validation")
ALLOWED = (
    r"bitsr/[a-z_/0-9]+\.py",
    r"bitsr/py\.typed",
    r"bitsr/training/recipes/[a-z0-9_]+\.yaml",
    r"bitsr/training/weights/[a-z0-9_]+\.(safetensors|md)",
    r"bitsr/validation/report/page\.(html\.j2|css|js)",
    r"bitsr/runtime/lib/libbitsr_[a-z]+\.so",
    r"bitsr-[0-9.]+\.dist-info/(METADATA|WHEEL|RECORD|entry_points\.txt|licenses/LICENSE)",
)


@pytest.fixture(scope="session")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built as `make wheel` does."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "uv", "build", "--wheel", "--no-build-isolation", "--python", sys.executable]
    scripts = sysconfig.get_path("scripts")
    outcome = subprocess.run(
        [*command, "--out-dir", str(folder), str(repository)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{scripts}:/usr/bin:/bin", "HOME": str(folder), "CMAKE_BUILD_PARALLEL_LEVEL": "2"},
    )
    assert outcome.returncode == 0, outcome.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_contains_the_product(wheel: Path, repository: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in PACKAGES:
        sources = {
            str(path.relative_to(repository)) if package == "bitsr" else f"bitsr/{path.relative_to(repository)}"
            for path in (repository / package).rglob("*.py")
        }
        assert sources, package
        assert sources <= names
    for folder, pattern in (("recipes", "*.yaml"), ("weights", "*.safetensors"), ("weights", "*.md")):
        data = {f"bitsr/training/{folder}/{path.name}" for path in (repository / "training" / folder).glob(pattern)}
        assert data, (folder, pattern)
        assert data <= names
    assert {f"bitsr/validation/report/page.{kind}" for kind in ("html.j2", "css", "js")} <= names
    assert "bitsr/runtime/lib/libbitsr_executorch.so" in names
    assert "bitsr/runtime/lib/libbitsr_tflite.so" in names


def test_the_wheel_contains_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if not any(re.fullmatch(pattern, name) for pattern in ALLOWED)] == []


def test_the_wheel_serves_every_python_3_on_this_platform(wheel: Path) -> None:
    assert re.fullmatch(r"bitsr-[0-9.]+-py3-none-(many)?linux_[a-z0-9_]+\.whl", wheel.name)


def test_an_installed_wheel_works(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own that borrows the dependencies, away from the checkout."""
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel],
        check=True,
    )
    # Borrow the packages, without the .pth files that would show the checkout.
    (site,) = environment.glob("lib/python3*/site-packages")
    dependencies = Path(sysconfig.get_path("purelib"))
    for path in dependencies.iterdir():
        if path.suffix != ".pth" and not path.name.startswith(("bitsr", "_editable", "__pycache__")):
            (site / path.name).symlink_to(path)
    code = "import bitsr.cli, bitsr.runtime as runtime; print(bitsr.cli.__file__, runtime.load_executorch_backend())"
    where = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert all(Path(path).is_relative_to(environment) for path in where.stdout.split())

    picture = tmp_path / "in.png"
    Image.new("RGB", (9, 7), "teal").save(picture)
    bitsr = environment / "bin" / "bitsr"
    models = subprocess.run([bitsr, "models"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "ebsr_light_x4" in models.stdout
    upscale = [bitsr, "upscale", "-i", picture, "-o", tmp_path / "out.png", "--runtime", "eager"]
    outcome = subprocess.run(upscale, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert (tmp_path / "out.png").is_file()
