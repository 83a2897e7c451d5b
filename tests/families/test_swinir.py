"""Light SwinIR: sizes and costs as published, windows, any picture size, a short training and its artifacts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bitsr.common.errors import ArtifactError, UsageError
from bitsr.export.delegation import OURS
from bitsr.export.deploy import fold
from bitsr.export.deploy.folds.swinir import ShiftMask, shared_regions
from bitsr.export.export import export_model
from bitsr.training.cost import model_cost
from bitsr.training.models import create_model
from bitsr.training.models.swinir import WindowAttention, from_windows, relative_positions, shift_mask, to_windows


@pytest.mark.parametrize(
    ("scale", "parameters", "thousands", "operations"),
    [(2, 910152, 878, 195.6), (3, 918267, 886, 87.2), (4, 929628, 897, 49.65)],
)
def test_published_parameters_and_operations(scale: int, parameters: int, thousands: int, operations: float) -> None:
    """The code's parameter count, and table 3 of the paper: there the tables of relative positions are left out.

    The paper's multiply-adds are those of the method ``flops`` of its code for a picture of 1024x720: sides rounded up
    to whole windows and one more, one operation an element of a norm, the body's last convolution counted as 3 C^2 in
    place of 9 C^2 and the one before the pixel shuffle as 27 C in place of 27 C s^2. (It prints 49.6 for x4.)
    """
    with torch.device("meta"):
        model = create_model(f"swinir_light_x{scale}")
    tables = sum(p.numel() for name, p in model.named_parameters() if name.endswith("bias_table"))
    total = sum(p.numel() for p in model.parameters())
    assert total == parameters
    assert round((total - tables) / 1000) == thousands
    height, width = ((side // scale // 8 + 1) * 8 for side in (1024, 720))
    layers = model_cost(f"swinir_light_x{scale}", size=(1, 3, height, width))
    counted = sum(layer.macs + layer.normalized for layer in layers)
    not_counted = (6 * 60**2 + 27 * 60 * (scale**2 - 1)) * height * width
    assert (counted - not_counted) / 1e9 == pytest.approx(operations, abs=0.05)


def test_windows_there_and_back() -> None:
    x = torch.randn(2, 3, 8, 12)
    windows = to_windows(x, 4)
    assert windows.shape == (12, 16, 3)
    assert torch.equal(windows[7].T.reshape(3, 4, 4), x[1, :, :4, 4:8])
    assert torch.equal(from_windows(windows, 4, 8, 12), x)


def test_attention_is_that_of_pytorch() -> None:
    torch.manual_seed(0)
    attention = WindowAttention(6, heads=2, window=4)
    qkv = torch.randn(1, 18, 8, 4)
    tokens = to_windows(qkv, 4)
    q, k, v = (part.reshape(2, 16, 2, 3).transpose(1, 2) for part in tokens.split(6, dim=2))
    mask = shift_mask(8, 4, 4)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=attention.bias() + mask[:, None])
    expected = from_windows(expected.transpose(1, 2).reshape(2, 16, 6), 4, 8, 4)
    torch.testing.assert_close(attention(qkv, mask), expected)


def test_relative_positions_by_hand() -> None:
    assert relative_positions(2).tolist() == [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]


@pytest.mark.parametrize("size", [(8, 8), (16, 12)], ids=str)
def test_pixels_attend_to_each_other_where_they_lie_together_unshifted(size: tuple[int, int]) -> None:
    mask = shift_mask(*size, 4)
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    places = torch.roll(torch.stack([rows, columns]), (-2, -2), (1, 2)).float()  # where shifted pixels came from
    windows = to_windows(places[None], 4)
    near = (windows[:, :, None] - windows[:, None, :]).abs().amax(dim=3) < 4
    assert torch.equal(mask == 0, near)
    assert torch.equal(ShiftMask()(shared_regions(*size, 4)), mask)


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (16, 16), (5, 20)], ids=str)
def test_any_size_in_training_and_deploy_form(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = create_model("test_swinir_x2").eval()
    x = torch.rand(1, 3, *size)
    with torch.no_grad():
        y = model(x)
        assert y.shape == (1, 3, 2 * size[0], 2 * size[1])
        # The same float32 operations in another order.
        torch.testing.assert_close(fold(model)(x), y, rtol=0, atol=1e-5)


def test_learns(train_shortly: Callable[..., object]) -> None:
    torch.manual_seed(2)
    result = train_shortly(create_model("test_swinir_x2"))
    assert result.finite
    assert result.last_loss < result.first_loss


def test_artifacts(check_artifacts: Callable[..., dict[str, dict[str, int]]]) -> None:
    partitions = check_artifacts("test_swinir_x2")
    # Six norms, between float layers; in a .pte the pixel shuffle, too.
    assert partitions["pte"][OURS] == 7
    assert partitions["tflite"][OURS] == 6


def test_the_artifact_says_its_only_size_and_pictures_of_others_are_tiled(tmp_path: Path) -> None:
    pytest.importorskip("executorch")
    from bitsr.inference.load import load
    from bitsr.inference.tiled import upscale_pixels

    torch.manual_seed(3)
    model = create_model("test_frbt_x2").eval()
    file = export_model(model, output=tmp_path).files["pte"]
    sizes = file.info.sizes
    assert (sizes.min_side, sizes.multiple, sizes.max_pixels, file.info.global_pooling) == (16, 16, 256, True)
    session = load(file.path)
    assert session.info.fixed_side == 16
    rgb = np.random.default_rng(0).integers(0, 256, (21, 37, 3), np.uint8)
    assert upscale_pixels(session, rgb).shape == (42, 74, 3)


def test_eager_and_artifact_give_one_picture_at_odd_sizes(tmp_path: Path) -> None:
    """Of the float network, whose forms differ in rounding alone."""
    pytest.importorskip("executorch")
    from bitsr.inference.eager import EagerSession
    from bitsr.inference.load import load

    torch.manual_seed(3)
    model = create_model("test_swinir_x2").eval()
    session = load(export_model(model, output=tmp_path).files["pte"].path)
    for size in ((70, 50), (21, 37), (5, 3)):
        rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        difference = session.upscale(rgb).astype(int) - EagerSession(model).upscale(rgb)
        assert np.abs(difference).max() <= 1


def test_a_budget_below_the_tile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"runs on tiles of 16 x 16 = 256 pixels"):
        export_model(create_model("test_swinir_x2"), output=tmp_path, max_pixels=255)


@pytest.mark.parametrize("model_id", ["test_frbt_x2", "test_ebsr_plus_x2"])
@pytest.mark.parametrize("size", [(64, 48), (70, 50), (16, 16), (5, 3)], ids=str)
def test_every_runtime_sees_the_same_tiles(
    model_id: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluation in the training form, the eager session and the tiler of files: one size policy.

    Windows of filled up or shifted tiles hold other pixels, so another policy moves the network of one size by far more
    than the rounding of the forms and to 8 bit.
    """
    from bitsr.export.deploy import fold
    from bitsr.inference import eager
    from bitsr.inference.eager import EagerSession

    monkeypatch.setattr(eager, "deploy_form", fold)  # integers at the ends would round by more than files do
    torch.manual_seed(5)
    model = create_model(model_id).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:  # untrained, its attention would hardly look around
                parameter.mul_(1 + 0.5 * torch.rand_like(parameter)).add_(0.05 * torch.randn_like(parameter))
    session = EagerSession(model)
    assert session.info.fixed_side == (model.fixed_size or None)
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    low = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        measured = model.upscale(low)
    pixels = session.upscale(rgb)
    wanted = (measured[0].clamp(0, 1) * 255 + 0.5).floor().byte().permute(1, 2, 0).numpy()
    assert np.abs(pixels.astype(int) - wanted.astype(int)).max() <= 1
    if model.fixed_size and size not in {(16, 16)}:
        with torch.no_grad():  # the whole picture is another computation, so the comparison above can fail
            assert (model(low) - measured).abs().max() > 2 / 255
        with pytest.raises(ArtifactError, match="the model takes"):
            session.run(low.numpy())
