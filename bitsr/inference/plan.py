"""What will be upscaled into what: everything that can be checked before a network is loaded."""

import os
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bitsr.common.errors import BitsrError, UsageError
from bitsr.common.files import check_folder, check_writable
from bitsr.common.pictures import EARLIER_RESULT, check_extension, check_found, output_format, picture_size, survey

Existing = Literal["refuse", "overwrite", "skip"]
_LONGEST_NAME = 255  # bytes, on the usual file systems


@dataclass(frozen=True)
class Job:
    """One picture to upscale, and how the result is written.

    Attributes:
        width, height: of the source in pixels, as stored.
        replace: an output that exists is replaced.
        quality: 1 to 100 for formats that have one; None is the format's usual.
        keep_gps: the place in the EXIF data is kept.
    """

    source: Path
    target: Path
    width: int
    height: int
    replace: bool = False
    quality: int | None = None
    keep_gps: bool = False

    @property
    def pixels(self) -> int:
        return self.width * self.height


@dataclass(frozen=True)
class Plan:
    """What will be done, what is done already (``skipped``), what cannot be done, and a remark on files left out."""

    jobs: list[Job] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failures: list[tuple[Path, BitsrError]] = field(default_factory=list)
    remark: str = ""

    @property
    def pixels(self) -> int:
        return sum(job.pixels for job in self.jobs)


def default_target(source: Path, *, scale: int | None, extension: str = ".png") -> Path:
    """Where the result of a picture or folder goes if nobody says: beside it, as ``photo_x4.png`` or ``photos_x4``."""
    if source.is_dir():
        folder = source if source.name not in ("", "..") else Path(os.path.abspath(source))
        return folder.with_name(_fitting(folder.name, _tag(scale)))
    return source.with_name(_fitting(source.stem, _tag(scale) + extension))


def plan_file(
    source: Path,
    target: Path,
    *,
    existing: Existing = "refuse",
    quality: int | None = None,
    keep_gps: bool = False,
) -> Plan:
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
        return Plan(skipped=[target])
    if target.exists() and existing == "refuse":
        raise UsageError(f"{target} exists; choose another output, or replace it with --overwrite")
    return Plan([Job(source, target, width, height, existing == "overwrite", quality, keep_gps)])


def plan_folder(
    source: Path,
    target: Path,
    *,
    extension: str = ".png",
    existing: Existing = "refuse",
    recursive: bool = False,
    scale: int | None = None,
    quality: int | None = None,
    keep_gps: bool = False,
) -> Plan:
    """Plan every picture of a folder into the folder ``target``, which need not exist and may be the same.

    With ``recursive`` the sub-folders are entered, and mirrored. A result is called like its picture; where several
    would be called the same, or like another picture, ``scale`` or the picture's own ending is added. Results of an
    earlier run that lie among the pictures are left out. Pictures that cannot be read become ``failures`` and do not
    stop the others.

    Raises:
        UsageError: no pictures, an output that exists (with "refuse"), or an unknown extension.
        BitsrError: the output folder cannot be created or written.
    """
    check_extension(extension)
    if target.is_file():
        raise UsageError(f"{target} is a file, the input {source} is a folder; name an output folder")
    inside = target if target.exists() and not target.samefile(source) else None
    listing = survey(source, recursive=recursive, without=inside)
    check_found(listing, source)
    check_folder(target)
    names = {
        picture: [
            target / picture.relative_to(source).parent / name for name in _names(picture, extension, scale=scale)
        ]
        for picture in listing.pictures
    }
    earlier = _earlier_results(names, scale=scale)
    if earlier:
        listing.left_out[EARLIER_RESULT] += len(earlier)
    pictures = [picture for picture in listing.pictures if picture not in earlier]
    plan = Plan(remark=listing.remark())
    inputs = {os.path.realpath(picture) for picture in listing.pictures}
    taken = {_place(picture) for picture in pictures}
    for picture, path in _chosen({picture: names[picture] for picture in pictures}, taken).items():
        try:
            if path is None or (path.is_symlink() and os.path.realpath(path) in inputs):
                raise UsageError(f"the output of {picture} would be an input; choose another output folder")
            if path.is_dir():
                raise UsageError(f"{path} is a folder; move it, or choose another output folder")
            if path.exists() and existing == "skip":
                plan.skipped.append(path)
                continue
            width, height = picture_size(picture)
        except BitsrError as error:
            plan.failures.append((picture, error))
            continue
        if path.exists() and existing == "refuse":
            raise UsageError(f"{path} exists; choose another folder, --overwrite or --skip-existing")
        plan.jobs.append(Job(picture, path, width, height, existing == "overwrite", quality, keep_gps))
    return plan


def _names(picture: Path, extension: str, *, scale: int | None) -> list[str]:
    """What the result of a picture may be called, best first."""
    tag = _tag(scale)
    return [
        _fitting(picture.stem, extension),
        _fitting(picture.stem, tag + extension),
        _fitting(picture.name, extension),
        _fitting(picture.name, tag + extension),
    ]


def _chosen(names: Mapping[Path, Sequence[Path]], taken: set[str]) -> dict[Path, Path | None]:
    """For each picture the first of its names that no other picture has or wants; None where there is none."""
    level = dict.fromkeys(names, 0)
    while True:
        wanted = {picture: names[picture][step] for picture, step in level.items() if step < len(names[picture])}
        counts = Counter(map(_place, wanted.values()))
        clashing = [picture for picture, path in wanted.items() if counts[_place(path)] > 1 or _place(path) in taken]
        if not clashing:
            return {picture: wanted.get(picture) for picture in names}
        for picture in clashing:
            level[picture] += 1


def _earlier_results(names: Mapping[Path, Sequence[Path]], *, scale: int | None) -> set[Path]:
    """Pictures that are called like the result of another one, and have its size."""
    by_place = {_place(picture): picture for picture in names}
    found = set()
    for picture, paths in names.items():
        for path in paths:
            other = by_place.get(_place(path))
            if other is not None and other != picture and _is_enlargement(other, picture, scale=scale):
                found.add(other)
    return found


def _is_enlargement(result: Path, picture: Path, *, scale: int | None) -> bool:
    try:
        sizes = picture_size(result), picture_size(picture)
    except BitsrError:
        return False
    (width, height), (low_width, low_height) = sizes
    if scale is None:
        return width * low_height == height * low_width and width > low_width
    return {width, height} == {scale * low_width, scale * low_height}


def _place(path: Path) -> str:
    """The same for names that a file system may take for one: it may tell neither case nor ways to write an umlaut."""
    return unicodedata.normalize("NFC", os.path.join(os.path.realpath(path.parent), path.name)).casefold()


def _tag(scale: int | None) -> str:
    return "_upscaled" if scale is None else f"_x{scale}"


def _fitting(stem: str, ending: str) -> str:
    """``stem`` and ``ending`` as a name that is not too long."""
    while len(os.fsencode(stem + ending)) > _LONGEST_NAME:
        stem = stem[:-1]
    return stem + ending
