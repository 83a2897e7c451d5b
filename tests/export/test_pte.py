"""Artifacts in ExecuTorch's Python runtime against the deploy form; these need the native library (`make build`)."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bitsr.runtime
from bitsr.common.errors import UsageError
from bitsr.export.deploy import deploy_form, fold
from bitsr.export.executorch.lower import lower
from bitsr.export.export import ExportedFile, export_model
from bitsr.export.verification import run_tensors
from bitsr.runtime import (
    DIRECTORY_VARIABLE,
    RuntimeLibraryError,
    find_library,
    library_directories,
    load_executorch_backend,
)
from bitsr.runtime.pte import PteError, PteNetwork
from bitsr.training.models import SuperResolutionModel, list_models

MAX_PIXELS = 64 * 64
# Odd sides, smaller and larger than the traced size, one pixel, one row, more than 64 in one side, and back again.
SIZES = [(24, 32), (37, 45), (5, 3), (1, 1), (1, 9), (11, 1), (64, 64), (16, 256), (37, 45)]


@pytest.fixture(scope="module")
def exported(
    build_model: Callable[[str], SuperResolutionModel], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[nn.Module, ExportedFile]]:
    """The deploy form and the artifact of a tiny model, exported once."""
    folder = tmp_path_factory.mktemp("pte")
    cache: dict[str, tuple[nn.Module, ExportedFile]] = {}

    def get(name: str) -> tuple[nn.Module, ExportedFile]:
        if name not in cache:
            model = build_model(name)
            cache[name] = (
                deploy_form(model),
                export_model(model, output=folder, name=name, max_pixels=MAX_PIXELS).files["pte"],
            )
        return cache[name]

    return get


# The other models: tests/families/test_every_model.py.
@pytest.mark.parametrize("name", list_models("test_ebsr_plus_*"))
def test_artifact_equals_the_deploy_form_at_every_size(
    name: str,
    exported: Callable[[str], tuple[nn.Module, ExportedFile]],
    make_picture: Callable[..., Tensor],
) -> None:
    """One loaded network through a sequence of sizes: all of it is ours and exact."""
    deployed, file = exported(name)
    assert file.verification is not None
    network = PteNetwork(file.path)
    for size in SIZES:
        x = make_picture(*size)
        with torch.no_grad():
            reference = deployed(x)
        y = run_tensors(network, x)
        assert y.shape == reference.shape
        assert y.is_contiguous()
        assert torch.equal(y, reference), size


class Body(nn.Module):
    """The body alone: its partition is the whole network, so that the delegate sees exactly the eager input."""

    def __init__(self, deployed: nn.Module) -> None:
        super().__init__()
        self.body = deployed.body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + x


@pytest.mark.parametrize("name", ["test_e2fif_x2", "baseline", "spatial", "unfused", "fused"])
def test_the_body_is_bit_identical_to_eager(
    name: str, build_model: Callable[[str], SuperResolutionModel], make_picture: Callable[..., Tensor]
) -> None:
    """Integer accumulators, and epilogues and gates whose every rounding is fixed: nothing may differ."""
    deployed = fold(build_model(name))
    body, channels = Body(deployed), deployed.head.out_channels
    network = PteNetwork(lower(body, channels=channels, max_pixels=MAX_PIXELS).content)
    for size in SIZES:
        x = 4 * make_picture(*size, channels=channels) - 2
        assert torch.equal(run_tensors(network, x), body(x)), size


def test_kernel_and_threads_do_not_change_a_bit(
    exported: Callable[[str], tuple[nn.Module, ExportedFile]], make_picture: Callable[..., Tensor]
) -> None:
    from executorch.extension.pybindings import portable_lib

    _, file = exported("fused")
    x = make_picture(37, 45)
    threads = portable_lib._threadpool_get_thread_count()
    results = []
    try:
        for kernel in ("auto", "portable"):
            for count in (1, 2, 3):
                portable_lib._unsafe_reset_threadpool(count)
                with pytest.MonkeyPatch.context() as patch:
                    patch.setenv("BITSR_KERNEL", kernel)
                    results.append(run_tensors(PteNetwork(file.path), x))
    finally:
        portable_lib._unsafe_reset_threadpool(threads)
    assert all(torch.equal(results[0], result) for result in results[1:])


def test_unknown_kernel_is_a_usage_error(
    exported: Callable[[str], tuple[nn.Module, ExportedFile]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, file = exported("baseline")
    monkeypatch.setenv("BITSR_KERNEL", "sse2")
    with pytest.raises(UsageError, match=r"BITSR_KERNEL is 'sse2'; expected one of auto, .*portable"):
        PteNetwork(file.path)


def test_kernel_of_another_processor_is_refused(
    exported: Callable[[str], tuple[nn.Module, ExportedFile]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, file = exported("baseline")
    other = "avx2" if os.uname().machine == "aarch64" else "neon"
    monkeypatch.setenv("BITSR_KERNEL", other)
    with pytest.raises(UsageError, match=rf"BITSR_KERNEL is '{other}'; expected one of auto, .*portable"):
        PteNetwork(file.path)


def reseal(pte: bytes, change: Callable[[bytearray], None]) -> bytes:
    """The .pte with its first program blob changed; the checksum is made to fit again."""
    start = pte.index(b"BSRP")
    (size,) = struct.unpack_from("<I", pte, start + 8)
    blob = bytearray(pte[start : start + size])
    change(blob)
    struct.pack_into("<I", blob, 12, zlib.crc32(blob[64:]))
    return pte[:start] + bytes(blob) + pte[start + size :]


def newer(blob: bytearray) -> None:
    struct.pack_into("<I", blob, 4, 99)


def no_ops(blob: bytearray) -> None:
    struct.pack_into("<I", blob, 20, 0)


def wrong_first_op(blob: bytearray) -> None:
    struct.pack_into("<I", blob, struct.unpack_from("<I", blob, 36)[0], 77)


@pytest.mark.parametrize(
    ("change", "words"), [(newer, "99"), (no_ops, "table"), (wrong_first_op, "77")], ids=["newer", "no-ops", "kind"]
)
def test_a_changed_program_is_refused_with_its_reason(
    change: Callable[[bytearray], None],
    words: str,
    exported: Callable[[str], tuple[nn.Module, ExportedFile]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    _, file = exported("baseline")
    with pytest.raises(PteError, match=r"can not load changed\.pte .*export the model again"):
        PteNetwork(reseal(file.path.read_bytes(), change), name="changed.pte")
    # ExecuTorch adds a line of its own, with the error's number.
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("[backend.cpp")]
    assert "BitsrBackend: " in line
    assert words in line


def test_a_flipped_bit_in_the_program_is_refused(
    exported: Callable[[str], tuple[nn.Module, ExportedFile]], capfd: pytest.CaptureFixture[str]
) -> None:
    _, file = exported("baseline")
    pte = bytearray(file.path.read_bytes())
    pte[pte.index(b"BSRP") + 300] ^= 1
    with pytest.raises(PteError, match="can not load"):
        PteNetwork(bytes(pte))
    assert "checksum" in capfd.readouterr().err


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.3, 0.7, 0.95])
def test_a_truncated_pte_is_refused(keep: float, exported: Callable[[str], tuple[nn.Module, ExportedFile]]) -> None:
    _, file = exported("baseline")
    content = file.path.read_bytes()
    with pytest.raises(PteError, match="can not load"):
        PteNetwork(content[: int(keep * len(content))])


def test_inputs_that_do_not_fit_are_refused(exported: Callable[[str], tuple[nn.Module, ExportedFile]]) -> None:
    _, file = exported("baseline")
    network = PteNetwork(file.path)
    assert (network.channels, network.max_pixels) == (3, MAX_PIXELS)
    picture = torch.rand(1, 3, 8, 9)
    for wrong, message in [
        (picture.double(), r"takes a float32 \(1, 3, H, W\) array, got float64"),
        (picture[0], r"takes a float32 \(1, 3, H, W\) array, got float32 of shape \(3, 8, 9\)"),
        (torch.rand(2, 3, 8, 9), r"takes a float32 \(1, 3, H, W\) array, got float32 of shape \(2, 3, 8, 9\)"),
        (torch.rand(1, 4, 8, 9), r"takes a float32 \(1, 3, H, W\) array"),
        (torch.rand(1, 3, 0, 9), r"takes a float32 \(1, 3, H, W\) array"),
        (torch.rand(1, 3, 65, 64), "takes at most 4096 pixels, got 64 x 65; use tiles"),
    ]:
        with pytest.raises(PteError, match=message):
            run_tensors(network, wrong)
    assert run_tensors(network, picture).shape == (1, 3, 16, 18)  # and it still works
    turned = picture.to(memory_format=torch.channels_last)
    assert torch.equal(run_tensors(network, turned), run_tensors(network, picture))


def test_missing_file_and_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_library("libbitsr_executorch.so")
    with pytest.raises(PteError, match="cannot read"):
        PteNetwork(tmp_path / "none.pte")
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    assert library_directories() == [tmp_path]
    with pytest.raises(RuntimeLibraryError, match=f"was not found in {tmp_path}; build it with `make build`"):
        find_library("libbitsr_executorch.so")


@pytest.mark.parametrize("content", [b"", b"no library"])
def test_a_broken_library_gives_one_error(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libbitsr_executorch.so").write_bytes(content)
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    monkeypatch.setattr(bitsr.runtime, "_loaded", None)  # as in a fresh process
    with pytest.raises(RuntimeLibraryError, match=r"does not load .*; build it with `make build`"):
        load_executorch_backend()


def test_profiling_events_name_the_ops(
    exported: Callable[[str], tuple[nn.Module, ExportedFile]], tmp_path: Path, make_picture: Callable[..., Tensor]
) -> None:
    from executorch.devtools import Inspector
    from executorch.runtime import Runtime

    _, file = exported("fused")
    PteNetwork(file.path)  # registers the backend
    program = Runtime.get().load_program(file.path, enable_etdump=True)
    program.load_method("forward").execute([make_picture(16, 16)])
    program.write_etdump_result_to_file(str(tmp_path / "etdump"), str(tmp_path / "debug"))
    events: list[Any] = [
        event for block in Inspector(etdump_path=str(tmp_path / "etdump")).event_blocks for event in block.events
    ]
    ours = [event.name for event in events if event.name.split(" ")[0].isdigit()]
    assert ours == [
        "0 quantized_conv2d",
        "1 channel_gate", "2 spatial_gate", "3 binary_conv2d",
        "4 channel_gate", "5 spatial_gate", "6 binary_conv2d",
        "7 add", "8 quantized_conv2d", "9 pixel_shuffle",
    ]  # fmt: skip
