"""What will be upscaled into what: everything that can be checked before a network is loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bitsr.common.errors import BitsrError, UsageError
from bitsr.common.files import check_folder, check_writable
from bitsr.common.pictures import FORMATS, list_pictures, output_format, picture_size

Existing = Literal["refuse", "overwrite", "skip"]


@dataclass(frozen=True)
class Job:
    """One picture to upscale; ``width`` and ``height`` of the source in pixels, as stored."""

    source: Path
    target: Path
    width: int
    height: int

    @property
    def pixels(self) -> int:
        return self.width * self.height


@dataclass(frozen=True)
class Plan:
    """What will be done, what is done already (``skipped``), and what cannot be done."""

    jobs: list[Job]
    skipped: list[Path]
    failures: list[tuple[Path, BitsrError]]

    @property
    def pixels(self) -> int:
        return sum(job.pixels for job in self.jobs)


def plan_file(source: Path, target: Path, *, existing: Existing = "refuse") -> Plan:
    """Plan one picture.

    Raises:
        UsageError: no source, an output that exists (with "refuse"), is the source, or has no usable format or folder.
        PictureError: the source is no picture.
        BitsrError: the output's folder is not writable.
    """
    if target.is_dir():
        raise UsageError(f"{target} is a folder, the input {source} is a file; name an output file")
    width, height = picture_size(source)
    output_format(target, alpha=False, width=1, height=1)
    if target.exists() and target.samefile(source):
        raise UsageError(f"{target} is the input; choose another output")
    check_writable(target)
    if target.exists() and existing == "skip":
        return Plan([], [target], [])
    if target.exists() and existing == "refuse":
        raise UsageError(f"{target} exists; choose another output, or replace it with --overwrite")
    return Plan([Job(source, target, width, height)], [], [])


def plan_folder(source: Path, target: Path, *, extension: str = ".png", existing: Existing = "refuse") -> Plan:
    """Plan every picture of a folder into the folder ``target``, which need not exist; sub-folders are not entered.

    Pictures that cannot be read become ``failures`` and do not stop the others.

    Raises:
        UsageError: no pictures, two that would become the same file, an output that exists (with "refuse"), or an
            unknown extension.
        BitsrError: the output folder cannot be created or written.
    """
    pictures = list_pictures(source, recursive=False)
    if extension not in FORMATS:
        raise UsageError(f"'{extension}' names no format for results; use one of {' '.join(FORMATS)}")
    if target.is_file():
        raise UsageError(f"{target} is a file, the input {source} is a folder; name an output folder")
    check_folder(target)
    plan = Plan([], [], [])
    names: dict[Path, Path] = {}
    for picture in pictures:
        path = target / f"{picture.stem}{extension}"
        if path in names:
            raise UsageError(f"{names[path].name} and {picture.name} would both become {path}; rename one of them")
        names[path] = picture
        if path.exists() and path.samefile(picture):
            raise UsageError(f"{path} is the input; choose another output folder")
        if path.exists() and existing == "skip":
            plan.skipped.append(path)
            continue
        if path.exists() and existing == "refuse":
            raise UsageError(f"{path} exists; choose another folder, --overwrite or --skip-existing")
        try:
            width, height = picture_size(picture)
        except BitsrError as error:
            plan.failures.append((picture, error))
        else:
            plan.jobs.append(Job(picture, path, width, height))
    return plan
