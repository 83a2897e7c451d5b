"""Files that are written completely or not at all."""

import errno
import os
import threading
from pathlib import Path

import pytest

from bitsr.common import files
from bitsr.common.errors import BitsrError, NoSpaceError, UsageError
from bitsr.common.files import atomic_write, make_folder


def write(path: Path, text: str, **options: bool) -> None:
    with atomic_write(path, **options) as temporary:
        temporary.write_text(text)


@pytest.mark.parametrize("length", [1, 242, 251, 255])
def test_names_as_long_as_a_name_can_be(tmp_path: Path, length: int) -> None:
    for name in ("c" * length, "ü" * (length // 2) + "c" * (length % 2)):
        write(tmp_path / name, "text")
        assert (tmp_path / name).read_text() == "text"


@pytest.mark.parametrize("links", [True, False])
def test_of_several_writers_of_a_new_file_one_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:

        def refuse(*_: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    ready = threading.Barrier(8)
    outcomes: list[str] = []
    refusals: list[str] = []

    def run(number: int) -> None:
        try:
            with atomic_write(tmp_path / "a", replace=False) as temporary:
                temporary.write_text(str(number))
                ready.wait(10)
            outcomes.append(str(number))
        except UsageError as error:
            refusals.append(str(error))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [(tmp_path / "a").read_text()]
    assert len(refusals) == 7
    assert all("exists" in refusal for refusal in refusals)
    assert os.listdir(tmp_path) == ["a"]


def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "there" / "real")
    (tmp_path / "dangling").symlink_to("there/new")
    for name, target in (("link", "real"), ("dangling", "new")):
        write(tmp_path / name, "new")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / "there" / target).read_text() == "new"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_from_other_failures(tmp_path: Path, number: int) -> None:
    for code, kind in ((number, NoSpaceError), (errno.EIO, BitsrError)):
        with pytest.raises(BitsrError) as caught, atomic_write(tmp_path / "a"):
            raise OSError(code, "failed")
        assert type(caught.value) is kind
    assert os.listdir(tmp_path) == []


def test_a_folder_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.Path, "mkdir", fail)
    with pytest.raises(NoSpaceError, match="No space left"):
        make_folder(tmp_path / "a")
