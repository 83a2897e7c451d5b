"""A network whose ends are integers gives one picture: in eager PyTorch, .pte and .tflite, on every instruction set."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bitsr.export.deploy import deploy_form
from bitsr.export.export import export_model
from bitsr.export.parity.recording import record
from bitsr.export.verification import run_tensors
from bitsr.runtime import KERNEL_VARIABLE, isa_names
from bitsr.runtime.core import CoreNetwork
from bitsr.runtime.litert import TfliteNetwork
from bitsr.runtime.network import Network
from bitsr.runtime.pte import PteNetwork
from bitsr.training.weights import load_model

SHIPPED = "ebsr_light_plus_tiny_x4"
# The light frame, and upsamplers of float and of binary convolutions.
FRESH = ["test_ebsr_plus_x3", "test_e2fif_x2", "test_bbcu_l_x2", "test_bbcu_m_x4", "test_bbcu_ht_x2"]
PICTURES = 6
MAX_SIDE = 40
SEED = 11


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both artifacts of weights that come with bitsr."""
    folder: Path = tmp_path_factory.mktemp("shipped")
    export_model(SHIPPED, output=folder, formats=("pte", "tflite"), max_pixels=MAX_SIDE**2)
    return folder


def _check(model: torch.nn.Module, pte: Path, tflite: Path) -> None:
    deployed = deploy_form(model)
    generator = torch.Generator().manual_seed(SEED)
    networks: dict[str, Network] = {}
    for isa in isa_names():
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(KERNEL_VARIABLE, isa)
            networks[f".pte, {isa}"], networks[f".tflite, {isa}"] = PteNetwork(pte), TfliteNetwork(tflite)
        networks[f"core, {isa}"] = CoreNetwork(tflite, threads=2, kernel=isa)
    for number in range(PICTURES):
        height, width = torch.randint(1, MAX_SIDE, (2,), generator=generator).tolist()
        x = torch.rand(1, 3, height, width, generator=generator)
        if number % 2:  # what pictures are; the others show that anything else is rounded alike
            x = (255 * x).round() / 255
        reference = record(deployed, x)
        assert reference.exact
        for name, network in networks.items():
            assert torch.equal(run_tensors(network, x), reference.output), (name, height, width)


def test_of_shipped_weights(shipped: Path) -> None:
    _check(load_model(SHIPPED), shipped / f"{SHIPPED}.pte", shipped / f"{SHIPPED}.tflite")


@pytest.mark.parametrize("model_id", FRESH)
def test_of_fresh_weights(model_id: str, export_tiny: Callable[..., Any]) -> None:
    exported = export_tiny(model_id)
    paths = [exported.result.files[kind].path for kind in ("pte", "tflite")]
    _check(exported.model, *paths)
