"""The wheel holds the product and nothing else, and works where it is installed."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.message import Message
from email.parser import HeaderParser
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from PIL import Image

from bitsr.export.pretrained import PRETRAINED, check_pretrained
from bitsr.validation.targets.local import CPUS

PACKAGES = ("bitsr", "training", "export", "validation")
PYTHONS = ("3.11", "3.12", "3.13")
ALLOWED = (
    r"bitsr/[a-z_/0-9]+\.py",
    r"bitsr/py\.typed",
    r"bitsr/pretrained/[a-z0-9_]+_x[234]\.tflite",
    r"bitsr/training/recipes/[a-z0-9_]+\.yaml",
    r"bitsr/training/weights/[a-z0-9_]+\.(safetensors|md)",
    r"bitsr/training/weights/SHA256SUMS",
    r"bitsr/([a-z]+/)?README\.md",
    r"bitsr/validation/report/page\.(html\.j2|css|js)",
    r"bitsr/runtime/android/(arm64-v8a|x86_64)\.tar\.xz",
    r"bitsr/runtime/bin/bitsr-run",
    r"bitsr/runtime/include/bitsr/[a-z_]+\.h",
    r"bitsr/runtime/lib/cmake/bitsr/[A-Za-z-]+\.cmake",
    r"bitsr/runtime/lib/libbitsr(_[a-z]+)?\.so",
    r"bitsr-[0-9.]+\.dist-info/(METADATA|WHEEL|RECORD|entry_points\.txt|licenses/LICENSE|sboms/[a-z.-]+\.json)",
)
MAX_BASE_BYTES = 120_000_000
# Before the tests get a cache folder of their own: uv's packages are in the user's.
ENVIRONMENT = dict(os.environ)


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built as `make wheel` does."""
    if not list(PRETRAINED.glob("*.tflite")):
        pytest.skip("needs `make artifacts`")
    folder = tmp_path_factory.mktemp("dist")
    scripts = sysconfig.get_path("scripts")
    environment = {"PATH": f"{scripts}:/usr/bin:/bin", "HOME": str(folder), "CMAKE_BUILD_PARALLEL_LEVEL": "2"}
    build = ["uv", "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder / "raw"]
    repair = ["auditwheel", "repair", "--exclude", "libexecutorch*.so", "--wheel-dir", folder]
    for command in ([*build, repository], repair):
        wheels = list((folder / "raw").glob("*.whl")) if command is repair else []
        outcome = subprocess.run(
            [sys.executable, "-m", *command, *wheels], capture_output=True, text=True, check=False, env=environment
        )
        assert outcome.returncode == 0, outcome.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return HeaderParser().parsestr(archive.read(name).decode())


def make_environment(folder: Path, wheel: Path, repository: Path, *, python: str) -> Path:
    """A virtual environment of the wheel and what it depends on, nothing else; the path of its Python.

    The packages are those of requirements.lock, out of the cache that `make build` filled.
    """
    uv = [sys.executable, "-m", "uv"]
    run(*uv, "venv", "--quiet", "--offline", "--python", python, folder)
    lock = repository / "requirements.lock"
    outcome = subprocess.run(
        [*uv, "pip", "install", "--quiet", "--offline", "--python", folder, "--constraint", lock, wheel],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
    if outcome.returncode != 0:
        pytest.skip(f"the packages are not in uv's cache: {outcome.stderr.strip().splitlines()[-1]}")
    return folder / "bin" / "python"


def find_python(version: str) -> str | None:
    """A Python of this version that runs: on the path, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for path in (shutil.which(f"python{version}"), *map(str, pyenv.glob(f"{version}.*/bin/python{version}"))):
        if path and subprocess.run([path, "-V"], capture_output=True, check=False).returncode == 0:
            return path
    return None


@pytest.fixture(scope="session")
def base_python(wheel: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment made by `pip install bitsr`."""
    return make_environment(tmp_path_factory.mktemp("base") / "venv", wheel, repository, python=sys.executable)


def test_the_wheel_contains_the_product(wheel: Path, repository: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
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
    artifacts = {
        f"bitsr/pretrained/{path.stem}.tflite" for path in (repository / "training/weights").glob("*.safetensors")
    }
    assert len(artifacts) >= 3
    assert artifacts <= names
    assert {f"bitsr/runtime/lib/libbitsr{kind}.so" for kind in ("", "_executorch", "_pte", "_tflite")} <= names
    assert {"bitsr/runtime/include/bitsr/capi.h", "bitsr/runtime/lib/cmake/bitsr/bitsrConfig.cmake"} <= names
    assert "bitsr/runtime/bin/bitsr-run" in names


def test_the_wheel_contains_nothing_else(wheel: Path) -> None:
    names = [name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")]
    assert [name for name in names if not any(re.fullmatch(pattern, name) for pattern in ALLOWED)] == []


def test_the_artifacts_are_of_the_weights(wheel: Path) -> None:
    check_pretrained()


def test_the_wheel_serves_every_python_3_on_linux_of_some_years(wheel: Path) -> None:
    """auditwheel has looked at the symbols of every library: glibc 2.35 is of 2022."""
    found = re.fullmatch(r"bitsr-[0-9.]+-py3-none-manylinux_2_([0-9]+)_x86_64\.whl", wheel.name)
    assert found
    assert int(found[1]) <= 35


def test_the_metadata_is_complete(metadata: Message, repository: Path) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert set(metadata.get_all("Provides-Extra", [])) >= {
        "diffusion",
        "executorch",
        "export",
        "litert",
        "report",
        "train",
    }
    wanted = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    base = {item.name for item in wanted if item.marker is None}
    assert {"numpy", "pillow"} <= base
    assert not base & {"torch", "tensorflow", "executorch", "onnx", "ai-edge-litert", "flatbuffers"}


@pytest.mark.parametrize("python", PYTHONS)
def test_every_package_of_the_lock_serves_this_python(python: str, metadata: Message, repository: Path) -> None:
    assert SpecifierSet(metadata["Requires-Python"]).contains(f"{python}.1")
    assert f"Programming Language :: Python :: {python}" in metadata.get_all("Classifier", [])
    lines = (repository / "requirements.lock").read_text().splitlines()
    for line in lines:
        if line and not line.startswith("#"):
            known = SpecifierSet(distribution(line.partition("==")[0]).metadata["Requires-Python"] or "")
            # uv minds the lower bound alone: an upper one says what was tried, as of a backport that nothing imports.
            assert all(part.contains(f"{python}.1") for part in known if not part.operator.startswith("<")), line


def test_the_base_is_small_and_runs_an_artifact(base_python: Path, tmp_path: Path) -> None:
    site = Path(run(base_python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    present = {path.name.partition("-")[0] for path in site.iterdir()}
    assert not present & {"torch", "tensorflow", "executorch", "onnx", "ai_edge_litert", "pytest"}
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < MAX_BASE_BYTES
    program = base_python.parent / "bitsr-run"
    artifact = site / "bitsr" / "pretrained" / "ebsr_light_plus_x2.tflite"
    said = run(program, artifact, "--shape", "1,3,16,12", "--output", tmp_path / "out.f32", "--json", "-", cwd=tmp_path)
    assert '"output_shape": [1, 3, 32, 24]' in said
    assert (tmp_path / "out.f32").stat().st_size == 3 * 32 * 24 * 4


def test_the_base_upscales_a_picture(base_python: Path, tmp_path: Path) -> None:
    """With the artifact that the wheel carries: nothing is exported, and no package of an extra is there to do it."""
    Image.new("RGB", (9, 7), "teal").save(tmp_path / "in.png")
    run(base_python.parent / "bitsr", "upscale", "-i", "in.png", "-o", "out.png", "--scale", "2", cwd=tmp_path)
    with Image.open(tmp_path / "out.png") as result:
        assert result.size == (18, 14)


@pytest.mark.parametrize(
    ("extra", "command"),
    [
        ("export", ("export", "ebsr_light_plus_x2", "-o", "folder")),
        ("report", ("validate", "ebsr_light_plus_x2", "--output", "folder")),
        ("train", ("train", "ebsr_light_plus_x4")),
    ],
)
def test_a_command_of_an_extra_names_it(
    extra: str, command: tuple[str, ...], base_python: Path, tmp_path: Path
) -> None:
    program = base_python.parent / "bitsr"
    done = subprocess.run([program, *command], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    (error,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert error.endswith(f"install it with: pip install 'bitsr[{extra}]'")
    assert list(tmp_path.iterdir()) == []


def test_a_pte_without_its_extra_is_an_error_that_says_so(base_python: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.pte"
    model.write_bytes(bytes(4) + b"ET12" + bytes(64))
    program = base_python.parent / "bitsr-run"
    done = subprocess.run(
        [program, model, "--info", "--runtime", "framework"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "there is no ExecuTorch to run a .pte" in done.stderr
    assert "make" not in done.stderr


@pytest.mark.parametrize("version", [python for python in PYTHONS if python != f"3.{sys.version_info.minor}"])
def test_another_python_runs_it(version: str, wheel: Path, repository: Path, tmp_path: Path) -> None:
    other = find_python(version)
    if other is None:
        pytest.skip(f"there is no Python {version} here")
    python = make_environment(tmp_path / "venv", wheel, repository, python=other)
    assert run(python, "-c", "import sys; print(*sys.version_info[:2], sep='.')").strip() == version
    Image.new("RGB", (9, 7), "teal").save(tmp_path / "in.png")
    run(python.parent / "bitsr", "upscale", "-i", "in.png", "-o", "out.png", "--scale", "2", cwd=tmp_path)
    with Image.open(tmp_path / "out.png") as result:
        assert result.size == (18, 14)


def test_the_source_archive_carries_what_a_wheel_is_built_of(wheel: Path, repository: Path, tmp_path: Path) -> None:
    run(
        sys.executable, "-m", "uv", "build", "--sdist", "--no-build-isolation", "--python", sys.executable,
        "--out-dir", tmp_path, repository,
    )  # fmt: skip
    (archive,) = tmp_path.glob("bitsr-*.tar.gz")
    with tarfile.open(archive) as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    with zipfile.ZipFile(wheel) as built:
        sources = {
            re.sub(r"^bitsr/(training|export|validation)/", r"\1/", name)
            for name in built.namelist()
            if name.endswith((".py", ".tflite", ".safetensors", ".yaml"))
        }
    assert sources <= names
    assert {"pyproject.toml", "LICENSE", "README.md", "runtime/CMakeLists.txt"} <= names


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
    assert "ebsr_light_plus_x4" in models.stdout
    upscale = [bitsr, "upscale", "-i", picture, "-o", tmp_path / "out.png", "--runtime", "eager"]
    outcome = subprocess.run(upscale, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert (tmp_path / "out.png").is_file()


@pytest.fixture(scope="session")
def arm64_site(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like site-packages with the aarch64 wheel, cross-built as `make wheel-arm64` does, and both runtimes."""
    runtimes = repository / "build" / "arm64-wheels"
    tools = ("aarch64-linux-gnu-g++", "qemu-aarch64-static", "make")
    if any(shutil.which(tool) is None for tool in tools) or not (runtimes / "ai_edge_litert").is_dir():
        pytest.skip("needs QEMU, g++-aarch64-linux-gnu and `make arm64`")
    if not list(PRETRAINED.glob("*.tflite")):
        pytest.skip("needs `make artifacts`")
    dist = tmp_path_factory.mktemp("arm64")
    run("make", "--old-file", "bitsr/pretrained/.made", "wheel-arm64", f"DIST={dist}", cwd=repository)
    (wheel,) = dist.glob("*.whl")
    assert re.fullmatch(r"bitsr-[0-9.]+-py3-none-manylinux_2_[0-9]+_aarch64\.whl", wheel.name)
    site = dist / "site-packages"
    run(sys.executable, "-m", "zipfile", "--extract", wheel, site)
    for package in ("ai_edge_litert", "executorch"):
        (site / package).symlink_to(runtimes / package)
    (site / "bitsr" / "runtime" / "bin" / "bitsr-run").chmod(0o755)
    return site


def arm64_run(site: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The runner of the wheel on an emulated Cortex-A76, which LiteRT looks for in /proc/cpuinfo."""
    root = site.parent / "root"
    if not root.exists():
        (root / "proc").mkdir(parents=True)
        (root / "proc" / "cpuinfo").write_text(f"processor\t: 0\n{CPUS['cortex-a76']}")
        (root / "lib").symlink_to("/usr/aarch64-linux-gnu/lib")
    emulator = ["qemu-aarch64-static", "-cpu", "cortex-a76", "-L", root]
    program = site / "bitsr" / "runtime" / "bin" / "bitsr-run"
    return subprocess.run([*emulator, program, *arguments], capture_output=True, text=True, check=False)


def test_the_arm64_wheel_runs_an_artifact_with_the_bits_of_x86(
    arm64_site: Path, base_python: Path, tmp_path: Path
) -> None:
    """Its delegate and the LiteRT beside it are found, loaded and run; the layers of ours have the same bits."""
    artifact = arm64_site / "bitsr" / "pretrained" / "ebsr_light_plus_x2.tflite"
    request = (artifact, "--shape", "1,3,12,10", "--dump-layers")
    done = arm64_run(arm64_site, *request, tmp_path / "arm64")
    assert done.returncode == 0, done.stderr
    run(base_python.parent / "bitsr-run", *request, tmp_path / "x86")
    table = (tmp_path / "x86" / "layers.tsv").read_text()
    assert (tmp_path / "arm64" / "layers.tsv").read_text() == table
    files = [line.split("\t")[-1] for line in table.splitlines()[1:]]
    assert len(files) > 10
    for name in files:
        assert (tmp_path / "arm64" / name).read_bytes() == (tmp_path / "x86" / name).read_bytes()


def test_the_arm64_wheel_opens_executorch(arm64_site: Path, tmp_path: Path) -> None:
    """A file that is no program is refused by ExecuTorch itself, so its libraries and ours were loaded."""
    model = tmp_path / "model.pte"
    model.write_bytes(bytes(4) + b"ET12" + bytes(64))
    done = arm64_run(arm64_site, model, "--info", "--runtime", "framework")
    assert done.returncode == 1
    assert "ExecuTorch does not read" in done.stderr
