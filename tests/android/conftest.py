"""Builds for Android, what runs them here, and one network in both formats with what Python makes of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bitsr.artifact.artifact import read_artifact
from bitsr.artifact.info import ArtifactInfo
from bitsr.export.export import export_model
from bitsr.inference.load import load

MODEL = "test_ebsr_plus_x2"
HEIGHT, WIDTH = 19, 26


@pytest.fixture(scope="session")
def android(repository: Path) -> Path:
    """The folder of the Android builds: runtimes/, arm64-v8a/, x86_64/."""
    folder = repository / "build" / "android"
    if not (folder / "arm64-v8a" / "bitsr-run").is_file():
        pytest.skip("needs the Android builds: make android-runner")
    return folder


@pytest.fixture(scope="session")
def link_app(repository: Path) -> Callable[[Path], None]:
    """Puts the app into a build folder for ``apk.py``: its classes, resources and tools, the models of its tests."""
    made = repository / "build" / "android"
    if not (made / ".compiled").is_file():
        pytest.skip("needs the app's classes and assets: make android-host")

    def link(folder: Path) -> None:
        for name, source in {"assets": "test-assets", **{n: n for n in ("maven", "resources", "tools-java")}}.items():
            (folder / name).symlink_to(made / source)

    return link


@dataclass(frozen=True)
class Golden:
    """An artifact, the map that it gets, and what Python's runtime makes of it: both (1, 3, H, W) float32."""

    path: Path
    info: ArtifactInfo
    given: torch.Tensor
    expected: NDArray[np.float32]


@pytest.fixture(scope="session")
def golden(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Golden]:
    """By the name of the format."""
    folder = tmp_path_factory.mktemp("export")
    result = export_model(MODEL, weights=weights, output=folder, formats=("pte", "tflite"), max_pixels=64 * 64)
    generator = torch.Generator().manual_seed(12)
    given = torch.rand(1, 3, HEIGHT, WIDTH, generator=generator)
    made = {}
    for kind, written in result.files.items():
        with load(written.path, threads=1) as session:
            made[kind] = Golden(written.path, read_artifact(written.path), given, session.run(given.numpy()))
    return made
