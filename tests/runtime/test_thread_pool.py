"""The thread pool of the core's callers: no race, none asleep for ever, and no child of fork() that hangs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FLAGS = ["-std=c++17", "-O1", "-g", "-pthread"]
TSAN = "-fsanitize=thread"


def call(*command: object) -> subprocess.CompletedProcess[str]:
    parts = [str(part) for part in command]
    return subprocess.run(parts, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def compiler() -> str:
    if shutil.which("g++") is None:
        pytest.skip("not installed: g++")
    return "g++"


@pytest.fixture(scope="module")
def sanitizer(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The flag of ThreadSanitizer, where that compiles and runs an empty program."""
    folder = tmp_path_factory.mktemp("empty")
    source, program = folder / "empty.cpp", folder / "empty"
    source.write_text("int main() {}\n")
    for command in ([compiler, *FLAGS, TSAN, source, "-o", program], [program]):
        done = call(*command)
        if done.returncode != 0:
            pytest.skip(f"ThreadSanitizer does not work here: {(done.stdout + done.stderr).strip()[-500:]}")
    return TSAN


def expect_ok(command: list[str], repository: Path, test: str, folder: Path) -> None:
    """The C++ test builds, ends, and says nothing but "ok"."""
    runtime = repository / "runtime"
    sources = [runtime / "threads" / name for name in (test, "thread_pool.cpp")]
    includes = [f"-I{runtime / room / 'include'}" for room in ("threads", "core")]
    program = folder / "program"
    built = call(*command, *FLAGS, "-Wall", "-Wextra", "-Werror", *includes, *sources, "-o", program)
    assert built.returncode == 0, built.stderr[-4000:]
    done = call(program)
    assert done.returncode == 0, done.stderr[-6000:]
    assert (done.stdout, done.stderr) == ("ok\n", "")


def test_small_jobs_have_no_race(compiler: str, sanitizer: str, repository: Path, tmp_path: Path) -> None:
    expect_ok([compiler, sanitizer], repository, "thread_pool_test.cpp", tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="replaces a function of Linux's C library")
def test_no_thread_sleeps_for_ever(compiler: str, repository: Path, tmp_path: Path) -> None:
    expect_ok([compiler], repository, "thread_pool_sleep_test.cpp", tmp_path)


def test_a_forked_child_has_threads_of_its_own(compiler: str, repository: Path, tmp_path: Path) -> None:
    expect_ok([compiler], repository, "thread_pool_fork_test.cpp", tmp_path)
