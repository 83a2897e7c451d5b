"""Every registered tiny model becomes both artefacts."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from bitsr.export.export import export_model
from bitsr.training.models import create_model, list_models, model_info

# Left out, and what is exported instead of it: all scales of EBSR+ show what a scale changes.
OTHER_SCALES = {
    "test_bidiffsr_x4": "test_bidiffsr_x2",
    "test_sr3_x4": "test_sr3_x2",
    "test_bbcu_m_x3": "test_bbcu_m_x4",
    "test_e2fif_x3": "test_e2fif_x2",
    "test_e2fif_x4": "test_e2fif_x2",
    "test_srresnet_x3": "test_srresnet_x2",
    "test_srresnet_x4": "test_srresnet_x2",
}
EXPORTED = [name for name in list_models("test_*", kind="direct") if name not in OTHER_SCALES]
# One step of a sampling; tests/families/test_bidiffsr.py exports that of BI-DiffSR.
STEPS = [name for name in list_models("test_*", kind="diffusion") if name not in OTHER_SCALES]


@pytest.mark.parametrize("model_id", EXPORTED)
def test_artefacts_agree(model_id: str, check_artefacts: Callable[..., dict[str, dict[str, int]]]) -> None:
    partitions = check_artefacts(model_id)
    assert set(partitions) == {"pte", "tflite"}


@pytest.mark.parametrize("model_id", [name for name in STEPS if name != "test_bidiffsr_x2"])
def test_steps_agree(model_id: str, tmp_path: Path) -> None:
    """The export compares both with the deploy form at three timesteps; only sums are added in another order."""
    if not all(find_spec(package) for package in ("executorch", "ai_edge_litert", "onnx2tf", "tensorflow")):
        pytest.skip("needs bitsr[executorch,tflite]")
    torch.manual_seed(1)
    model = create_model(model_id).eval()
    files = export_model(model, output=tmp_path, formats=("pte", "tflite"), max_pixels=8 * 8).files
    verifications = [file.verification for file in files.values()]
    assert [verification is not None and verification.psnr > 50 for verification in verifications] == [True, True]


def test_what_is_left_out_differs_in_its_scale_alone() -> None:
    assert {"test_ebsr_plus_x2", "test_ebsr_plus_x3", "test_ebsr_plus_x4"} < set(EXPORTED)
    assert {*EXPORTED, *STEPS, *OTHER_SCALES} == set(list_models("test_*"))
    for name, exported in OTHER_SCALES.items():
        assert exported in EXPORTED + STEPS
        assert model_info(name).family == model_info(exported).family
        assert model_info(name).scale != model_info(exported).scale
