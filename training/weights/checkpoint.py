"""Checkpoints of other people's trainings: the tensors of a file, whatever stands around them; no code in it is run."""

import argparse
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from bitsr.common.errors import WeightsError, first_line

# Keys under which training code keeps the tensors of a network, the best choice first: averages before the last step's.
CONTAINERS = (
    "params_ema",
    "average",
    "ema",
    "model_ema",
    "state_dict_ema",
    "params",
    "state_dict",
    "model_state_dict",
    "model",
    "network",
    "net",
    "net_g",
    "generator",
    "weights",
)
# What wrappers put before every name: data parallel, compiled and boxed networks.
PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.", "net_g.", "netG.", "generator.")
# Classes of plain data that training scripts keep beside the tensors: numbers of numpy, and their own arguments.
_DATA: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *{type(np.dtype(kind)) for kind in ("bool", "int32", "int64", "float16", "float32", "float64")},
    np.float64(0).__reduce__()[0],
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),  # its name before numpy 2
]
# Containers within containers are looked into so deep.
_DEPTH = 3


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a network by name, floating-point ones as float32, and where in the file they stood.

    ``containers`` are the keys that lead to them, ``prefix`` was before every name. ``content`` is the whole file.
    """

    path: Path
    tensors: dict[str, Tensor]
    containers: tuple[str, ...]
    prefix: str
    content: Any


def read_checkpoint(path: Path | str, *, key: str | None = None) -> Checkpoint:
    """The tensors of a ``.pth``, ``.pt``, ``.ckpt``, ``.bin`` or ``.safetensors`` file.

    Args:
        path: the file; what it is shows its content, not its name.
        key: the container to take, keys within each other with a dot between; by default the first of
            :data:`CONTAINERS`, or the only one.

    Raises:
        WeightsError: missing, broken, no checkpoint, objects beside tensors that only its own code could read, or no
            such container, or several and none of a known name.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"there is no checkpoint {path}; check the name")
    content = _read(path)
    found = _containers(content)
    if not found:
        raise WeightsError(
            f"{path} holds no tensors by name ({_kind(content)}); expected the state_dict of a network, or a "
            "dictionary that has one: torch.save(model.state_dict(), path)"
        )
    where = _choose(found, key, path)
    tensors, prefix = _without_prefix(found[where])
    return Checkpoint(
        path,
        {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()},
        where,
        prefix,
        content,
    )


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}; check its permissions") from error
    try:
        if start[8:] == b"{" and not zipfile.is_zipfile(path):
            with safe_open(path, framework="pt") as tensors:
                return {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118 - no mapping
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an archive of TorchScript, which is an error here
            with torch.serialization.safe_globals(_DATA):
                return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # PyTorch has no error of its own for a broken file: it is whatever its readers meet
        text = str(error)
        if "TorchScript" in text:
            raise WeightsError(
                f"{path} is a TorchScript program, which is code; save its tensors where it comes from: "
                "torch.save(torch.jit.load(path).state_dict(), other_path)"
            ) from error
        if isinstance(error, pickle.UnpicklingError) and "GLOBAL " in text:
            raise WeightsError(
                f"{path} holds Python objects beside its tensors ({_refused_object(text)}), which could run code, so "
                "they are not read; save the tensors alone where the file comes from: torch.save(model.state_dict(), "
                "path)"
            ) from error
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> WeightsError:
    # PyTorch's own advice stands before the reason, and is to run the code in the file.
    reason = str(error).partition("WeightsUnpickler error: ")[2].strip().partition("\n")[0] or first_line(error)
    return WeightsError(
        f"cannot read {path} as a checkpoint: {reason}; expected a complete file of torch.save or "
        "safetensors; fetch it again"
    )


def _refused_object(text: str) -> str:
    """What the loader would not make: ``argparse.Namespace`` of "... Unsupported global: GLOBAL argparse.Namespace"."""
    words = text.partition("GLOBAL ")[2].split()
    return words[0] if words else "of a kind that is not named"


def _containers(content: Any, keys: tuple[str, ...] = ()) -> dict[tuple[str, ...], dict[str, Tensor]]:
    """Every dictionary of named tensors, by the keys that lead to it."""
    if not isinstance(content, Mapping) or len(keys) > _DEPTH:
        return {}
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if tensors and len(tensors) == len(content):
        return {keys: tensors}
    found: dict[tuple[str, ...], dict[str, Tensor]] = {}
    for name, value in content.items():
        if isinstance(name, str):
            found.update(_containers(value, (*keys, name)))
    # A network's own dictionary with a number or a text beside its tensors.
    return found or ({keys: tensors} if tensors else {})


def _choose(found: dict[tuple[str, ...], dict[str, Tensor]], key: str | None, path: Path) -> tuple[str, ...]:
    names = ", ".join(".".join(keys) or "(the file itself)" for keys in found)
    if key is not None:
        wanted = [keys for keys in found if ".".join(keys) == key]
        if not wanted:
            raise WeightsError(f"{path} has no tensors under '{key}'; it has some under: {names}")
        return wanted[0]
    for name in CONTAINERS:
        for keys in found:
            if keys and keys[-1] == name:
                return keys
    if len(found) > 1:
        raise WeightsError(f"{path} has tensors under several keys, none of a usual name: {names}; name one with --key")
    return next(iter(found))


def _without_prefix(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    removed = ""
    while True:
        prefix = next((one for one in PREFIXES if all(name.startswith(one) for name in tensors)), None)
        if prefix is None:
            return tensors, removed
        removed += prefix
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def _kind(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"its keys are {', '.join(map(str, list(content)[:8]))}" if content else "it is empty"
    return f"it is a {type(content).__name__}"
