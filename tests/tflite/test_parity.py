"""What a .tflite computes, against PyTorch, against the .pte, across sizes, threads, kernels and interpreters."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bitsr.common.errors import UsageError
from bitsr.export.deploy import deploy_form
from bitsr.export.export import STOCK_OPS, ExportResult
from bitsr.export.verification import run_tensors
from bitsr.runtime.litert import INTERPRETERS, TfliteNetwork
from bitsr.runtime.pte import PteNetwork
from bitsr.training.models import SuperResolutionModel

# Up, down, one pixel, and back: a network must not keep anything of another size.
SIZES = ((24, 32), (37, 45), (1, 1), (64, 50), (3, 2), (37, 45))
# The float head sums in another order than PyTorch's; a value that then lies on the other side of its threshold
# changes a few output pixels. A wrong layout, weight or gate is far below.
LEAST_DB = 50.0


def psnr(y: Tensor, reference: Tensor) -> float:
    assert y.shape == reference.shape
    error = (y - reference).double().square().mean().item()
    span = max((reference.max() - reference.min()).item(), 1e-3)
    return math.inf if error == 0 else 10 * math.log10(span**2 / error)


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("item", ["tflite", STOCK_OPS])
def test_computes_what_pytorch_computes_at_every_size(
    ebsr: SuperResolutionModel,
    ebsr_export: ExportResult,
    make_map: Callable[..., Tensor],
    interpreter: str,
    item: str,
) -> None:
    reference = deploy_form(ebsr)
    network = TfliteNetwork(ebsr_export.files[item].path, interpreter=interpreter, delegate=item == "tflite", threads=2)
    for height, width in SIZES:
        x = make_map(height, width)
        found, expected = run_tensors(network, x), reference(x)
        if item == STOCK_OPS:  # sums of floats in another order
            assert psnr(found, expected) > LEAST_DB, (height, width)
        else:
            assert torch.equal(found, expected), (height, width)


def test_agrees_with_the_pte(ebsr_export: ExportResult, make_map: Callable[..., Tensor]) -> None:
    tflite, pte = TfliteNetwork(ebsr_export.files["tflite"].path), PteNetwork(ebsr_export.files["pte"].path)
    for height, width in SIZES:
        x = make_map(height, width)
        assert torch.equal(run_tensors(tflite, x), run_tensors(pte, x)), (height, width)


@pytest.mark.parametrize("bodies", ["ebsr_bodies", "e2fif_bodies"])
def test_the_body_is_bit_identical_to_the_pte(
    bodies: str, request: pytest.FixtureRequest, make_map: Callable[..., Tensor]
) -> None:
    _, exported = request.getfixturevalue(bodies)
    tflite, pte = TfliteNetwork(exported.files["tflite"].path), PteNetwork(exported.files["pte"].path)
    for height, width in SIZES:
        x = make_map(height, width, channels=tflite.channels) - 0.5
        assert torch.equal(run_tensors(tflite, x), run_tensors(pte, x)), (height, width)


def test_a_body_without_reductions_is_bit_identical_to_pytorch(
    e2fif_bodies: tuple[nn.Module, ExportResult], make_map: Callable[..., Tensor]
) -> None:
    body, exported = e2fif_bodies
    network = TfliteNetwork(exported.files["tflite"].path)
    for height, width in SIZES:
        x = make_map(height, width, channels=network.channels) - 0.5
        assert torch.equal(run_tensors(network, x), body(x)), (height, width)


def test_threads_and_kernels_do_not_change_a_bit(
    ebsr_bodies: tuple[nn.Module, ExportResult], make_map: Callable[..., Tensor]
) -> None:
    path = ebsr_bodies[1].files["tflite"].path
    x = make_map(37, 45, channels=8) - 0.5
    expected = run_tensors(TfliteNetwork(path, threads=1, options={"kernel": "portable"}), x)
    compared = []
    for kernel in ("portable", "avx2", "avx512", "dotprod", "neon"):
        for threads in ("1", "2", "5"):
            try:
                network = TfliteNetwork(path, options={"kernel": kernel, "threads": threads})
            except UsageError:  # not of this processor
                continue
            assert torch.equal(run_tensors(network, x), expected), (kernel, threads)
            compared.append((kernel, threads))
    assert len(compared) >= 3


def test_networks_with_their_own_delegates_live_side_by_side(
    ebsr_export: ExportResult,
    ebsr_bodies: tuple[nn.Module, ExportResult],
    make_map: Callable[..., Tensor],
) -> None:
    whole, body = ebsr_export.files["tflite"].path, ebsr_bodies[1].files["tflite"].path
    picture, features = make_map(20, 30), make_map(31, 17, channels=8)
    expected = run_tensors(TfliteNetwork(whole), picture), run_tensors(TfliteNetwork(body), features)
    first = TfliteNetwork(whole, threads=2)
    second = TfliteNetwork(body, threads=3)
    third = TfliteNetwork(whole, interpreter="tensorflow")
    for _ in range(2):
        assert torch.equal(run_tensors(first, picture), expected[0])
        assert torch.equal(run_tensors(second, features), expected[1])
        assert torch.equal(run_tensors(first, picture), run_tensors(third, picture))
    del first
    assert torch.equal(run_tensors(second, features), expected[1])
    assert torch.equal(run_tensors(third, picture), expected[0])
