"""``export_model``: steps, results, refusals; the check needs the native library (`make build`)."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bitsr.artifact.artifact import read_artifact
from bitsr.artifact.formats import TfliteFormat
from bitsr.artifact.weights import WeightsInfo
from bitsr.common.errors import UnknownNameError, UsageError, WeightsError
from bitsr.export import export, verification
from bitsr.export.delegation import OURS
from bitsr.export.deploy import fold
from bitsr.export.errors import ExportError
from bitsr.export.export import export_model
from bitsr.export.loading import weights_digest
from bitsr.export.parity.artifact_ops import ArtifactOp
from bitsr.export.verification import agreement, run_tensors
from bitsr.runtime import DIRECTORY_VARIABLE
from bitsr.runtime.pte import PteNetwork
from bitsr.training.models import SuperResolutionModel, create_model
from bitsr.training.weights import save_weights

BUDGET = 32 * 32
MODEL = "test_e2fif_x2"


class Steps:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.told: list[tuple[float, float]] = []
        self.texts: list[str] = []

    def advance(self, done: float, total: float, text: str = "") -> None:
        self.told.append((done, total))
        self.texts.append(text)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    torch.manual_seed(3)
    state = create_model(MODEL).state_dict()
    info = WeightsInfo(model=MODEL, steps=7, data=["toys"], recipe="lr: 1\n", figures={"Set5": {"psnr": 30.5}})
    save_weights(path, state, info)
    return path


def test_export_by_id_with_weights(weights: Path, tmp_path: Path) -> None:
    steps = Steps()
    result = export_model(
        MODEL,
        weights=weights,
        output=tmp_path / "new" / "folder",
        max_pixels=33 * 33 + 20,
        progress=steps,
    )
    file = result.files["pte"]
    assert (result.name, list(result.files), result.binary_layers) == (MODEL, ["pte"], 2)
    assert file.path == tmp_path / "new" / "folder" / f"{MODEL}.pte"
    assert read_artifact(file.path) == file.info
    info = file.info
    assert (info.model, info.scale, info.in_channels, info.out_channels) == (MODEL, 2, 3, 3)
    assert (info.recipe, info.training_steps, info.training_data) == ("lr: 1\n", 7, ["toys"])
    assert info.figures == {"Set5": {"psnr": 30.5}}
    assert info.sizes.max_pixels == 33 * 33  # the largest square within the budget
    assert (info.receptive_field_radius, info.global_pooling) == (4, False)
    assert set(info.versions) == {"bitsr", "torch", "executorch"}
    assert steps.told == [(i, 5) for i in range(5)]
    model = create_model(MODEL)
    assert result.latent_bytes == 4 * sum(p.numel() for p in model.parameters())
    assert file.arena_bytes >= 4 * BUDGET * 8
    assert file.verification is not None
    assert file.verification.psnr > 60
    assert not file.table.not_lowered()
    assert {row.place for row in file.table.rows if row.op.startswith("bitsr::")} == {OURS}


def test_same_weights_same_digest(weights: Path) -> None:
    torch.manual_seed(3)
    first = weights_digest(create_model(MODEL).state_dict())
    torch.manual_seed(4)
    assert weights_digest(create_model(MODEL).state_dict()) != first


def test_requests_that_are_wrong(
    weights: Path, tmp_path: Path, build_model: Callable[[str], SuperResolutionModel]
) -> None:
    baseline = build_model("baseline")
    with pytest.raises(UnknownNameError, match="test_e2fif_x2"):
        export_model("test_e2fif_x5", output=tmp_path)
    with pytest.raises(UsageError, match="but 'test_e2fif_x3' is to be exported; export 'test_e2fif_x2', or give"):
        export_model("test_e2fif_x3", weights=weights, output=tmp_path)
    with pytest.raises(WeightsError, match="no trained weights of 'test_e2fif_x3'"):
        export_model("test_e2fif_x3", output=tmp_path)
    with pytest.raises(UsageError, match="the export format is 'onnx'; expected some of: tflite, pte"):
        export_model(baseline, output=tmp_path, formats=("onnx",))
    with pytest.raises(UsageError, match="is a x2 model, but scale 4 was asked for; leave the scale out"):
        export_model(baseline, output=tmp_path, scale=4)
    with pytest.raises(UsageError, match="give its name and scale"):
        export_model(nn.Identity(), output=tmp_path)
    with pytest.raises(UsageError, match="has 2 binary layers, which only run in our kernels; export it with them"):
        export_model(baseline, output=tmp_path, kernels=False)
    with pytest.raises(UsageError, match="cannot write into"):
        export_model(baseline, output=weights / "folder")
    # A refused export leaves no folder behind.
    with pytest.raises(UsageError, match="which only run in our kernels"):
        export_model(baseline, output=tmp_path / "new" / "folder", kernels=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["weights.safetensors"]


def test_an_existing_artifact_is_only_replaced_on_request(
    tmp_path: Path, build_model: Callable[[str], SuperResolutionModel]
) -> None:
    (tmp_path / "baseline.pte").write_bytes(b"precious")
    with pytest.raises(UsageError, match=r"baseline\.pte exists; choose another folder, or overwrite it"):
        export_model(build_model("baseline"), name="baseline", output=tmp_path, max_pixels=BUDGET)
    assert (tmp_path / "baseline.pte").read_bytes() == b"precious"
    export_model(build_model("baseline"), name="baseline", output=tmp_path, max_pixels=BUDGET, overwrite=True)
    read_artifact(tmp_path / "baseline.pte")


def test_an_artifact_that_disagrees_is_not_written(
    tmp_path: Path, build_model: Callable[[str], SuperResolutionModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = PteNetwork.run
    monkeypatch.setattr(PteNetwork, "run", lambda self, x: run(self, x)[..., ::-1].copy())
    with pytest.raises(ExportError, match=r"baseline\.pte does not compute what the deploy form computes"):
        export_model(build_model("baseline"), name="baseline", output=tmp_path, max_pixels=BUDGET)
    assert list(tmp_path.iterdir()) == []


def test_an_op_with_other_numbers_is_not_written(
    tmp_path: Path, build_model: Callable[[str], SuperResolutionModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small the change is."""
    read = verification.content_ops

    def changed(*arguments: object, **names: object) -> list[ArtifactOp]:
        first, *others = read(*arguments, **names)
        constants = tuple(
            None
            if array is None
            else np.nextafter(array, np.inf, dtype=array.dtype)
            if array.dtype == np.float32
            else array
            for array in first.op.constants
        )
        return [ArtifactOp(dataclasses.replace(first.op, constants=constants), first.channels), *others]

    monkeypatch.setattr(verification, "content_ops", changed)
    with pytest.raises(ExportError, match=r"op 0 of baseline\.pte .*is not the deploy form's: its .* has other values"):
        export_model(build_model("baseline"), name="baseline", output=tmp_path, max_pixels=BUDGET)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_before_all_are_compared(
    tmp_path: Path, build_model: Callable[[str], SuperResolutionModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the .pte's lowering for both, so that it needs no TensorFlow."""
    lower, wrong, steps = export._lowering("pte"), [True], Steps()

    def compare(*_: object, kind: str, **__: object) -> tuple[None, str]:
        if kind == "tflite" and wrong:
            raise ExportError("it disagrees; nothing was written")
        return None, "not compared"

    monkeypatch.setattr(export, "_lowering", lambda _: lower)
    monkeypatch.setattr(export, "verify", compare)
    model, formats = build_model("baseline"), ("pte", "tflite")
    with pytest.raises(ExportError, match="nothing was written"):
        export_model(model, name="baseline", output=tmp_path, formats=formats, max_pixels=BUDGET)
    assert list(tmp_path.iterdir()) == []

    # The metadata of a .tflite stands inside of it, which this one is not.
    wrong.clear()
    monkeypatch.setattr(TfliteFormat, "write", lambda _self, _content, path, _facts: path.write_bytes(b""))
    export_model(model, name="baseline", output=tmp_path, formats=formats, max_pixels=BUDGET, progress=steps)
    assert [line.split()[0] for line in steps.texts] == ["Load", "Fold", *("Lower", "Compare") * 2, "Write", "Write"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["baseline.json", "baseline.pte", "baseline.tflite"]


def test_without_the_native_library_the_artifact_is_written_unchecked(
    tmp_path: Path, build_model: Callable[[str], SuperResolutionModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bitsr.runtime._loaded", None)  # as in a fresh process
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    file = export_model(build_model("baseline"), name="baseline", output=tmp_path, max_pixels=BUDGET).files["pte"]
    assert file.verification is None
    assert "`make build`" in file.not_verified
    read_artifact(file.path)


@pytest.mark.parametrize("kernels", [True, False])
def test_float_network_with_and_without_our_kernels(
    kernels: bool, tmp_path: Path, make_picture: Callable[..., Tensor]
) -> None:
    model = create_model("test_srresnet_x2").eval()
    file = export_model(model, output=tmp_path, max_pixels=BUDGET, kernels=kernels).files["pte"]
    assert (OURS in file.table.partitions) == kernels
    x = make_picture(13, 30)
    with torch.no_grad():
        torch.testing.assert_close(run_tensors(PteNetwork(file.path), x), fold(model)(x), rtol=0, atol=1e-4)


def test_a_plain_float_layer(tmp_path: Path, make_picture: Callable[..., Tensor]) -> None:
    """One convolution of any width, as the benchmark's opponent needs it."""
    conv = nn.Conv2d(16, 16, 3, padding=1)
    result = export_model(
        conv, output=tmp_path, name="layer", scale=1, in_channels=16, max_pixels=BUDGET, kernels=False
    )
    file = result.files["pte"]
    assert file.path.name == "layer.pte"
    assert (file.info.in_channels, file.info.out_channels, file.info.channel_order) == (16, 16, "any")
    assert file.table.partitions == {"XNNPACK": 1}
    assert file.verification is not None
    assert math.isfinite(file.verification.largest_difference)
    x = make_picture(9, 11, channels=16)
    with torch.no_grad():
        torch.testing.assert_close(run_tensors(PteNetwork(file.path), x), conv(x), rtol=0, atol=1e-5)


def test_agreement_with_a_constant_reference() -> None:
    """It has no range that an error could be compared with."""
    constant = torch.full((1, 3, 2, 2), 0.5)
    assert agreement(constant.clone(), constant) == (math.inf, 0.0)
    assert agreement(constant + 0.25, constant) == (-math.inf, 0.25)


@pytest.mark.parametrize("asked", [{"max_pixels": (1 << 40) + 1}, {"max_pixels": 0}, {"in_channels": (1 << 16) + 1}])
def test_what_no_artifact_can_say_is_refused_at_once(
    tmp_path: Path, build_model: Callable[[str], SuperResolutionModel], asked: dict[str, int]
) -> None:
    with pytest.raises(UsageError, match=rf"{next(iter(asked))} is \d+, expected 1 to \d+"):
        export_model(build_model("baseline"), name="baseline", output=tmp_path, **asked)
    assert list(tmp_path.iterdir()) == []


def test_facts_that_metadata_can_not_say_end_in_one_of_our_errors(
    tmp_path: Path, build_model: Callable[[str], SuperResolutionModel]
) -> None:
    model = build_model("baseline")
    model.receptive_field_radius = (1 << 20) + 1
    with pytest.raises(ExportError, match="can not describe 'baseline': receptive_field_radius is 1048577"):
        export_model(model, name="baseline", output=tmp_path / "made", max_pixels=BUDGET)
    assert not (tmp_path / "made").exists()
