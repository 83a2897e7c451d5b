"""The assets of an app: a model in its formats, and golden inputs with which the app proves itself.

``models/NAME.tflite``, ``models/NAME.pte`` with its sidecar, and in ``golden/NAME`` a picture, what each format makes
of it here, and programs of single ops with their inputs and results, which ``golden.json`` lists (docs/formats.md,
"Assets of an app").
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitsr.artifact.info import Dtype
from bitsr.artifact.program import write_program
from bitsr.common.errors import UsageError
from bitsr.common.files import atomic_write, make_folder
from bitsr.common.png import PngWriter
from bitsr.common.progress import Progress
from bitsr.export.deploy import deploy_form
from bitsr.export.export import ExportResult, export_model
from bitsr.export.loading import find_source
from bitsr.export.parity.artifact_ops import artifact_ops
from bitsr.export.parity.recording import record
from bitsr.inference.load import load
from bitsr.runtime.network import CORE
from bitsr.runtime.program import NativeProgram
from bitsr.validation.errors import TargetError
from bitsr.validation.parity.op_cases import OpCase
from bitsr.validation.parity.ops import golden_picture, judge, make_cases
from bitsr.validation.run import MIN_PICTURE_PSNR_DB
from bitsr.validation.targets.runner_files import Map

GOLDEN_SCHEMA = 1
# Sizes of the golden inputs: odd and not square, small enough that an app carries them.
PICTURE_HEIGHT, PICTURE_WIDTH = 47, 61
OP_HEIGHT, OP_WIDTH = 9, 11


def write_app_assets(
    model: str,
    *,
    folder: Path,
    weights: Path | None = None,
    formats: tuple[str, ...] = ("tflite", "pte"),
    max_pixels: int | None = None,
    overwrite: bool = False,
    io: Dtype = "float32",
    progress: Progress | None = None,
) -> ExportResult:
    """Export a model into an app's assets folder, with its golden inputs.

    Raises:
        UsageError: the model upscales no pictures, or its files exist.
        BitsrError: see :func:`bitsr.export.export.export_model`.
        TargetError: our kernels on this machine do not compute what the network does.
    """
    source = find_source(model, weights=weights, name=None, scale=None)
    golden = folder / "golden" / source.name
    if golden.exists() and not overwrite:
        raise UsageError(f"{golden} exists; pass --overwrite to replace it")
    result = export_model(
        model,
        weights=weights,
        output=folder / "models",
        formats=formats,
        max_pixels=max_pixels,
        overwrite=overwrite,
        io=io,
        progress=progress,
    )
    files = list(result.files.values())
    info = files[0].info
    if info.diffusion is not None or (info.in_channels, info.out_channels) != (3, 3):
        raise UsageError(f"'{source.name}' upscales no pictures by itself, which an app is for; choose another model")

    shutil.rmtree(golden, ignore_errors=True)
    make_folder(golden)
    rgb = _pixels(PICTURE_HEIGHT, PICTURE_WIDTH)
    _write_png(golden / "picture.png", rgb)
    picture: dict[str, Any] = {"file": "picture.png", "results": {}}
    for name, file in result.files.items():
        picture["results"][name] = f"result_{name}.png"
        with load(file.path) as session:
            _write_png(golden / picture["results"][name], session.upscale(rgb))
            if session.info.runtime != CORE:  # Another processor rounds its float layers otherwise.
                picture["min_psnr_db"] = MIN_PICTURE_PSNR_DB

    golden_run = record(deploy_form(source.module), golden_picture(seed=0, height=OP_HEIGHT, width=OP_WIDTH))
    cases = _one_of_a_kind(make_cases(artifact_ops(files[0].path), golden_run.calls))
    content = {
        "schema": GOLDEN_SCHEMA,
        "model": source.name,
        "picture": picture,
        "ops": [_write_op(golden, number, case) for number, case in enumerate(cases)],
    }
    with atomic_write(golden / "golden.json") as path:
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return result


def _one_of_a_kind(cases: Iterable[OpCase]) -> list[OpCase]:
    """The first case of each op, sizes of its attributes, and check: an app need not carry them all."""
    kinds: dict[tuple[Any, ...], OpCase] = {}
    for case in cases:
        op = case.program.ops[0]
        fused = tuple(place is not None for place in (*op.inputs, *op.constants))
        kinds.setdefault((case.kind, case.check, op.attributes, fused), case)
    return list(kinds.values())


def _write_op(golden: Path, number: int, case: OpCase) -> dict[str, Any]:
    """Program and values of a case; the results are those of our kernels, which every machine repeats bit for bit."""
    blob = write_program(case.program)
    inputs = [values.reshape(_sides(values)) for values in case.inputs]
    outputs = NativeProgram(blob).run(*inputs)
    verdict = judge(case, [got.reshape(expected.shape) for got, expected in zip(outputs, case.expected, strict=True)])
    if verdict.wrong:
        raise TargetError(
            f"{verdict.wrong} of {verdict.elements} values of op {case.index} ({verdict.kind}, {case.module}) are "
            "wrong on this machine; run: bitsr validate"
        )
    program, values = f"{number}.bsrp", f"{number}.f32"
    (golden / program).write_bytes(blob)
    (golden / values).write_bytes(b"".join(map(_dense, (*inputs, *outputs))))
    return {
        "kind": verdict.kind,
        "module": case.module,
        "check": case.check,
        "program": program,
        "values": values,
        "inputs": [_sides(values) for values in inputs],
        "outputs": [_sides(values) for values in outputs],
    }


def _dense(values: Map) -> bytes:
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def _sides(values: Map) -> list[int]:
    """N, C, H, W; a vector's H and W are 1."""
    return [*values.shape, 1, 1][:4]


def _pixels(height: int, width: int) -> NDArray[np.uint8]:
    map_ = golden_picture(seed=0, height=height, width=width)[0].permute(1, 2, 0).numpy()
    return np.floor(map_ * 255 + 0.5).astype(np.uint8)


def _write_png(path: Path, rgb: NDArray[np.uint8]) -> None:
    height, width, channels = rgb.shape
    with path.open("wb") as file:
        writer = PngWriter(file, width=width, height=height, channels=channels)
        writer.write(rgb)
        writer.close()
