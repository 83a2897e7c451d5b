"""What a target does wrong fails the run, and ends nothing else."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitsr.common.errors import ArtifactError, UsageError
from bitsr.validation.errors import TargetError
from bitsr.validation.request import Request
from bitsr.validation.results import Run
from bitsr.validation.targets.host import HostTarget
from bitsr.validation.targets.runner_protocol import RunnerOutput
from bitsr.validation.validate import run_request

from .conftest import rewritten


def run_with(
    request: Request, monkeypatch: pytest.MonkeyPatch, *, second: TargetError | None = None, value: float | None = None
) -> Run:
    """Validate on the host: its second picture raises ``second``, or each picture has one ``value`` in a corner."""
    run_here = HostTarget.run
    pictures = 0

    def run(target: HostTarget, arguments: Sequence[str], *, fresh: bool = False) -> RunnerOutput:
        nonlocal pictures
        target.can_dump_layers = True  # only such a target compares layers after the pictures
        found = run_here(target, arguments)
        if "--output" in arguments:
            pictures += 1
            if second is not None and pictures == 2:
                raise second
            if value is not None:
                path = Path(arguments[arguments.index("--output") + 1])
                values = np.fromfile(path, np.float32)
                values[0] = value
                values.tofile(path)
        return found

    monkeypatch.setattr(HostTarget, "run", run)
    monkeypatch.setattr("bitsr.validation.parity.layers.compare_layers", lambda *_, **__: (None, []))
    (done,) = run_request(request).results.runs
    return done


def test_a_picture_that_fails_is_one_failure(
    exported: Path, weights: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request(exported, images=images, weights=weights, runs=0)
    done = run_with(request, monkeypatch, second=TargetError("the device is gone"))
    assert not done.passed
    assert [failure.tier for failure in done.failures] == ["run"]
    assert "the device is gone" in done.failures[0].message
    assert len(done.pictures) == 1
    assert done.ops


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_fail(
    exported: Path, weights: Path, images: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    done = run_with(Request(exported, images=images, weights=weights, runs=0), monkeypatch, value=value)
    assert not done.passed
    assert "1 of" in done.failures[0].message
    assert "are not finite" in done.failures[0].message


def test_one_pixel_that_differs_fails_a_network_of_exact_ops(
    exported: Path, weights: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One value of thousands: far above the agreement that float layers are allowed."""
    done = run_with(Request(exported, images=images, weights=weights, runs=0, pictures=1), monkeypatch, value=0.5)
    (failure,) = [failure for failure in done.failures if failure.tier == "picture"]
    assert "expected identity, because every op is exact" in failure.message
    assert done.pictures[0].agreement > 30


def test_a_picture_that_is_too_small_is_named(exported: Path, weights: Path, tmp_path: Path) -> None:
    for size, fits in (((1, 1), False), ((40, 15), False), ((16, 17), True)):
        path = tmp_path / "small.png"
        Image.effect_noise(size, 50).convert("RGB").save(path)
        request = Request(exported, images=path, weights=weights, runs=0)
        if fits:
            assert len(run_request(request).results.runs[0].pictures) == 1
        else:
            with pytest.raises(UsageError, match=rf"small\.png is {size[0]} x {size[1]} pixels; SSIM at x2 needs"):
                run_request(request)


def test_changed_metadata_are_refused(exported: Path, weights: Path, images: Path, tmp_path: Path) -> None:
    path = rewritten(exported, tmp_path / exported.name, exported.read_bytes(), scale=4)
    with pytest.raises(ArtifactError, match=r"says that it is 'test_ebsr_plus_x2' at x4, its weights are of .* at x2"):
        run_request(Request(path, images=images, weights=weights, runs=0))
