"""The runner of the host target: the contract of ``runtime/runner/README.md`` over the Python runtimes.

It has no ``--profile`` and no ``--dump-layers``: those look into the C++ program.
"""

import argparse
import json
import platform
import resource
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bitsr.artifact.artifact import read_artifact
from bitsr.artifact.formats import sidecar_path
from bitsr.common.files import atomic_write
from bitsr.common.quiet import quiet, silent_stderr
from bitsr.export.verification import run_tensors
from bitsr.runtime import isa_names, wanted_kernel
from bitsr.runtime.capi import NeedsFrameworkError
from bitsr.runtime.core import CoreNetwork
from bitsr.runtime.litert import TfliteNetwork
from bitsr.runtime.machine import processor
from bitsr.runtime.network import CORE
from bitsr.runtime.pte import PteNetwork
from bitsr.validation.errors import TargetError
from bitsr.validation.targets.host_processes import serve
from bitsr.validation.targets.host_replay import replay
from bitsr.validation.targets.runner_files import read_integers, read_map, write_map
from bitsr.validation.targets.runner_protocol import FRAMEWORK, SCHEMA
from bitsr.validation.timing.pattern import photo_pattern

Network = CoreNetwork | PteNetwork | TfliteNetwork
# What a runtime is called in the answer, and the distribution whose version counts.
_PACKAGES = {CORE: (CORE, "bitsr"), "tflite": ("ai-edge-litert",) * 2, "pte": ("executorch",) * 2}


class HostRunner:
    """Keeps loaded networks from one run to the next, so that pictures do not pay for loading."""

    def __init__(self) -> None:
        self._networks: dict[tuple[str, int, str], tuple[Network, int]] = {}

    def execute(self, arguments: Sequence[str]) -> str:
        """Run with these arguments; the JSON.

        Raises:
            TargetError, BitsrError: what the runtimes raise.
        """
        given = _parser().parse_args(list(arguments))
        if given.replay is not None:
            replay(Path(given.replay))
            return json.dumps({"schema": SCHEMA, "device": _device(1), "build": _build(), "cases": []})
        if not given.models:
            raise TargetError("the host runner needs a model or --replay")
        _set_threads(given.threads, executorch=any(model.endswith(".pte") for model in given.models))
        loaded, loads = [], []
        for model in given.models:
            started = time.perf_counter()
            loaded.append(self._network(Path(model), given.threads, given.runtime))
            loads.append(_since(started))
        entries = [_entry(load, given.threads, network) for load, (network, _) in zip(loads, loaded, strict=True)]
        if not given.info:
            _run(loaded, entries, given)
        for entry in entries:
            entry["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return json.dumps(entries[0] if len(entries) == 1 else {"schema": SCHEMA, "models": entries})

    def _network(self, path: Path, threads: int, runtime: str) -> tuple[Network, int]:
        """The network, and how many inputs it has."""
        key = (str(path), threads, runtime)
        if key not in self._networks:
            self._networks[key] = _open(path, threads, runtime)
        return self._networks[key]


def _open(path: Path, threads: int, runtime: str) -> tuple[Network, int]:
    if runtime != FRAMEWORK:
        try:
            return CoreNetwork(path, threads=threads), 1
        except NeedsFrameworkError:
            if runtime == CORE:
                raise
    if path.suffix == ".tflite":
        from bitsr.artifact.flatbuffer import graph_ops, parse_model

        content = path.read_bytes()
        needs_delegate = any(op.custom for op in graph_ops(content, name=str(path)))
        count = len(parse_model(content, name=str(path)).subgraphs[0].inputs)
        return TfliteNetwork(content, name=str(path), threads=threads, delegate=needs_delegate, inputs=count), count
    # Without a sidecar it is a float twin, which takes a map.
    count = 2 if sidecar_path(path).is_file() and read_artifact(path).diffusion is not None else 1
    return PteNetwork(path, inputs=count), count


def _inputs(model: str, count: int, given: argparse.Namespace) -> list[Tensor]:
    """A map, and the timestep of a step."""
    shape = tuple(int(part) for part in given.shape.split(","))
    files = [Path(name) for name in given.input]
    if not files:
        return [photo_pattern(shape), *[torch.zeros(1, dtype=torch.int64)] * (count - 1)]
    if len(files) != count:
        raise TargetError(
            f"{model} takes {count} inputs, got {len(files)}; give a file for each by --input, the map first"
        )
    for path in files[1:]:
        if path.suffix != ".i64":
            raise TargetError(f"{model} takes int64 there, got {path}; give it a raw .i64")
    values = torch.from_numpy(read_map(files[0], shape).copy())
    return [values, *(torch.from_numpy(read_integers(path, 1)) for path in files[1:])]


def _run(networks: list[tuple[Network, int]], entries: list[dict[str, Any]], given: argparse.Namespace) -> None:
    inputs = [_inputs(model, count, given) for model, (_, count) in zip(given.models, networks, strict=True)]
    outputs = []
    for (network, _), own, entry in zip(networks, inputs, entries, strict=True):
        started = time.perf_counter()
        outputs.append(run_tensors(network, *own))
        entry["first_ms"] = _since(started)
        entry["samples_ms"] = []
        entry["samples_cpu_ms"] = []
        entry["output_shape"] = list(outputs[-1].shape)
    for number in range(given.warmup + given.runs):
        for (network, _), own, entry in zip(networks, inputs, entries, strict=True):
            worked, started = time.process_time(), time.perf_counter()
            run_tensors(network, *own)
            ended, done = time.perf_counter(), time.process_time()
            if number >= given.warmup:
                entry["samples_ms"].append((ended - started) * 1000)
                entry["samples_cpu_ms"].append((done - worked) * 1000)
    if given.output is not None:
        with atomic_write(given.output) as temporary:
            write_map(temporary, np.asarray(outputs[0].numpy()))


def _entry(load_ms: float, threads: int, network: Network) -> dict[str, Any]:
    package = _PACKAGES[network.runtime]
    return {
        "schema": SCHEMA,
        "device": _device(threads),
        "build": _build(),
        "versions": {package[0]: version(package[1]), "torch": version("torch")},
        "load_ms": load_ms,
    }


def _device(threads: int) -> dict[str, Any]:
    isa = list(isa_names())
    wanted = wanted_kernel()
    kernel = wanted if wanted not in ("", "auto") else isa[0]
    return {
        "machine": platform.machine(),
        "processor": processor(),
        "isa": isa,
        "kernel": kernel,
        "threads": threads,
    }


def _build() -> dict[str, str]:
    return {"type": "Python", "compiler": ""}


def _set_threads(count: int, *, executorch: bool) -> None:
    """ExecuTorch's pool; LiteRT has its own by network."""
    torch.set_num_threads(count)
    if not executorch:
        return
    try:
        from executorch.extension.pybindings import _C  # not the module above it, which imports the exporter
    except ImportError:
        return  # the .pte will say that it is missing
    with silent_stderr():  # it tells which files of the system it looked for
        if _C._threadpool_get_thread_count() != count:
            _C._unsafe_reset_threadpool(count)


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="host runner", exit_on_error=False)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--info", action="store_true")
    parser.add_argument("--input", action="append", default=[])
    for name in ("--output", "--replay", "--json"):
        parser.add_argument(name)
    parser.add_argument("--shape", default="1,3,128,128")
    parser.add_argument("--runtime", choices=("auto", CORE, FRAMEWORK), default="auto")
    for name, default in (("--threads", 1), ("--warmup", 0), ("--runs", 1)):
        parser.add_argument(name, type=int, default=default)
    return parser


def _import_runtimes() -> None:
    """What a child would otherwise import: modules alone, nothing of a network, no thread."""
    with suppress(ImportError), quiet(), silent_stderr():
        import executorch.extension.pybindings._C  # noqa: F401
    with suppress(ImportError), quiet(), silent_stderr():
        import ai_edge_litert.interpreter  # noqa: F401


if __name__ == "__main__":
    _import_runtimes()
    serve(lambda arguments: HostRunner().execute(arguments))
