"""Data and small folders of pictures for the training tests."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def benchmarks(repository: Path) -> Path:
    """The folder with Set5, Set14 and B100; the test is skipped where it is absent."""
    folder = repository.parent / "shared" / "data"
    if not (folder / "Set5").is_dir():
        pytest.skip("the benchmark pictures (../shared/data/Set5 ...) are not on this machine")
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six smooth RGB pictures of different sizes, the smallest 40x36."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(31)
    for index in range(6):
        small = Image.fromarray(rng.integers(0, 256, (9, 10, 3), dtype=np.uint8))
        small.resize((40 + 4 * index, 36 + 3 * index), Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    return folder
