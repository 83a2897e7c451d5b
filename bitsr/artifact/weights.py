"""What is known of weights files without loading them, and those that come with bitsr.

Nothing here needs torch, nor safetensors: a file of that format begins with the length of its header, and the header.
"""

import hashlib
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bitsr.artifact.fields import (
    CheckedFields,
    Setting,
    checked,
    dict_of,
    from_object,
    list_of,
    number,
    plain,
    text,
    whole,
)
from bitsr.common.errors import WeightsError

FORMAT = "bitsr-weights-1"
SUFFIX = ".safetensors"
# Checkpoints of PyTorch, which `bitsr import` turns into weights files.
CHECKPOINT_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".tar")
_METADATA = "__metadata__"
_LONGEST_HEADER = 100_000_000  # bytes, as in the library
# The table of the weights that come with bitsr, in the form of sha256sum.
CHECKSUMS = "SHA256SUMS"


@dataclass(frozen=True)
class WeightsInfo(CheckedFields):
    """What is known about trained weights.

    ``settings`` are the fields of the model's configuration that differ from those of its id.
    ``figures`` maps a set's name to ``{"psnr", "ssim", "bicubic_psnr", "bicubic_ssim"}``; ``data`` names the training
    sets; ``recipe`` is the YAML text.
    """

    model: str = checked(text)
    steps: int = checked(whole(least=0), default=0)
    data: list[str] = checked(list_of(text), default_factory=list)
    recipe: str = checked(text, default="")
    figures: dict[str, dict[str, float]] = checked(dict_of(dict_of(number)), default_factory=dict)
    settings: dict[str, Setting] = checked(dict_of(plain), default_factory=dict)


def weights_folder() -> Path:
    """The folder of the weights that come with bitsr; ``bitsr.training`` is found, not imported."""
    spec = find_spec("bitsr.training")
    assert spec is not None  # it is a part of this distribution
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations))) / "weights"


def pretrained_models() -> list[str]:
    """Ids of the models whose weights come with bitsr, sorted."""
    return sorted(path.stem for path in weights_folder().glob(f"*{SUFFIX}"))


def embedded_weights(model_id: str) -> Path:
    """The weights of a model that come with bitsr, after a look at their checksum.

    Raises:
        WeightsError: there are none for this model, or the file is not the one of the table of checksums.
    """
    path = weights_folder() / f"{model_id}{SUFFIX}"
    if not path.is_file():
        have = ", ".join(pretrained_models()) or "none"
        raise WeightsError(
            f"no trained weights of '{model_id}' come with bitsr; there are: {have}; train it, or give a weights file"
        )
    expected, got = read_checksums(path.parent).get(path.name, "none"), checksum(path)
    if got != expected:
        raise WeightsError(
            f"{path} is not the file that came with bitsr: sha256 {got}, expected {expected}; install bitsr again"
        )
    return path


def checksum(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of each weights file in a folder, by its name, from the folder's table."""
    path = folder / CHECKSUMS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def names_file(name: str | Path) -> bool:
    """Whether ``name`` is meant as a file of weights, rather than as the id of a model."""
    path = Path(name)
    return path.suffix in (SUFFIX, *CHECKPOINT_SUFFIXES) or path.is_file()


def read_weights_info(path: Path | str) -> WeightsInfo:
    """The header of a weights file.

    Raises:
        WeightsError: missing, broken, or not written by bitsr.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}")
    if path.suffix in CHECKPOINT_SUFFIXES:
        raise WeightsError(
            f"{path} is no weights file of bitsr, but perhaps a checkpoint of PyTorch; {_how_to_import(path)}"
        )
    try:
        metadata = _metadata(path)
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise WeightsError(
            f"cannot read the weights file {path}: {error}; expected a complete {SUFFIX} file written by bitsr"
        ) from error
    return parse_header(metadata, path=path)


def _how_to_import(path: Path) -> str:
    target = path.with_suffix(SUFFIX).name
    return f"make a weights file of it with: bitsr import {path} {target if target != path.name else f'bitsr_{target}'}"


def _metadata(path: Path) -> dict[str, str]:
    """The free text in the header of a safetensors file.

    Raises:
        ValueError: it is no such file, or not a complete one.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= _LONGEST_HEADER:
            raise ValueError("it has no header")
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is broken")
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != _METADATA]
    if path.stat().st_size != 8 + length + max(ends, default=0):
        raise ValueError("it is not complete")
    metadata = header.get(_METADATA, {})
    return {str(key): str(value) for key, value in metadata.items()}


def parse_header(metadata: dict[str, str] | None, *, path: Path) -> WeightsInfo:
    """The metadata of a safetensors file; ``path`` names it in errors, which are those of :func:`read_weights_info`."""
    metadata = metadata or {}
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{path} is no weights file of this version: expected format {FORMAT}, "
            f"found {metadata.get('format', 'none')}; {_how_to_import(path)}"
        )
    try:
        return from_object(WeightsInfo, json.loads(metadata["info"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"the description in the weights file {path} is broken ({error}); expected one written by this version of "
            "bitsr"
        ) from error
