"""The deploy form computes what the train form computes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bitsr.export.deploy import FusedBinaryConv2d, fold, folds
from bitsr.export.deploy.folds.common import fold_conv, negative_slope
from bitsr.export.errors import ExportError
from bitsr.training.binarizers import (
    ActivationBinarizer,
    LearnedScaleWeight,
    MeanScaleWeight,
    RSign,
    ScaledSign,
    Sign,
    SignWeight,
    WeightBinarizer,
)
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import SuperResolutionModel

SIZES = [(17, 22), (9, 31), (5, 3), (1, 1)]


def bits_of_train_form(model: nn.Module, x: Tensor) -> list[Tensor]:
    """Bits (x >= threshold) that enter each binary convolution of the train form, in the order of execution."""
    bits = []

    def hook(binarizer: ActivationBinarizer, args: tuple[Tensor, Tensor | None]) -> None:
        value, shift = args
        threshold = binarizer.threshold(value.shape[1]).reshape(1, -1, 1, 1) if shift is None else shift
        bits.append(value >= threshold)

    handles = [m.register_forward_pre_hook(hook) for m in model.modules() if isinstance(m, ActivationBinarizer)]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return bits


def bits_of_deploy_form(model: nn.Module, x: Tensor) -> list[Tensor]:
    """The same of the deploy form."""
    bits = []

    def hook(layer: FusedBinaryConv2d, args: tuple[Tensor], kwargs: dict[str, Tensor | None]) -> None:
        threshold = layer.threshold if kwargs.get("threshold") is None else kwargs["threshold"][0]
        bits.append(args[0] >= threshold.reshape(1, -1, 1, 1))

    layers = [m for m in model.modules() if isinstance(m, FusedBinaryConv2d)]
    handles = [layer.register_forward_pre_hook(hook, with_kwargs=True) for layer in layers]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return bits


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_deploy_form_equals_train_form(
    any_tiny: str,
    size: tuple[int, int],
    build_model: Callable[[str], SuperResolutionModel],
    make_picture: Callable[..., Tensor],
) -> None:
    """Outputs within float rounding, and every bit that enters a binary convolution the same.

    Thresholds that depend on the picture are compared through the bits too: each form uses its own threshold on its
    own activations. Both compute them in float32 in different orders, so a bit could only differ where an activation
    lies within rounding of its threshold; on these fixed pictures none does.
    """
    model, x = build_model(any_tiny), make_picture(*size)
    deployed = fold(model)
    train_bits, deploy_bits = bits_of_train_form(model, x), bits_of_deploy_form(deployed, x)
    assert len(train_bits) == len(deploy_bits)
    assert all(torch.equal(a, b) for a, b in zip(train_bits, deploy_bits, strict=True))
    with torch.no_grad():
        expected, y = model(x), deployed(x)
    assert y.is_contiguous()
    # A few hundred float32 operations in another order: 1e-5 of the largest value (values reach about 50 with BN).
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-5 * max(1.0, expected.abs().max().item()))


def test_both_signs_occur_in_the_compared_bits(
    any_tiny: str, build_model: Callable[[str], SuperResolutionModel], make_picture: Callable[..., Tensor]
) -> None:
    """The comparison above would be empty if thresholds lay outside the activations' range."""
    for bits in bits_of_train_form(build_model(any_tiny), make_picture(17, 22)):
        assert 0.02 < bits.float().mean().item() < 0.98


def test_batch_norm_scales_of_both_signs(build_model: Callable[[str], SuperResolutionModel]) -> None:
    scales = [m.scale for m in fold(build_model("test_e2fif_x2")).modules() if isinstance(m, FusedBinaryConv2d)]
    assert scales
    assert all((scale < 0).any() and (scale > 0).any() for scale in scales)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("weight", [SignWeight, MeanScaleWeight, LearnedScaleWeight])
@pytest.mark.parametrize("activation", [Sign, RSign, ScaledSign])
def test_every_binarizer_folds(
    activation: type[ActivationBinarizer],
    weight: type[WeightBinarizer],
    kernel: int,
    make_picture: Callable[..., Tensor],
) -> None:
    torch.manual_seed(0)
    conv = BinaryConv2d(
        6,
        5,
        kernel,
        activation_binarizer=activation() if activation is Sign else activation(6),  # type: ignore[call-arg]
        weight_binarizer=weight(5) if weight is LearnedScaleWeight else weight(),  # type: ignore[call-arg]
        bias=True,
    )
    with torch.no_grad():
        for name, parameter in conv.named_parameters():
            if name != "weight":
                parameter.add_(0.2 * torch.randn(parameter.shape))
        x = make_picture(9, 8, channels=6) - 0.5
        torch.testing.assert_close(fold_conv(conv)(x), conv(x), rtol=1e-5, atol=1e-5)


def test_fold_leaves_the_model_alone(
    any_tiny: str, build_model: Callable[[str], SuperResolutionModel], make_picture: Callable[..., Tensor]
) -> None:
    model, x = build_model(any_tiny), make_picture(9, 9)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    deployed = fold(model)
    assert model.training
    assert not deployed.training
    with torch.no_grad():
        for parameter in deployed.parameters():
            parameter.zero_()
        deployed(x)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_float_modules_are_copied() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
    folded = fold(network)
    x = torch.rand(1, 3, 5, 5)
    assert torch.equal(folded(x), network(x))
    assert folded[0] is not network[0]


class LonelyBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = BinaryConv2d(4, 4, 3, activation_binarizer=Sign(), weight_binarizer=SignWeight())

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + x  # type: ignore[no-any-return]


def test_a_fold_that_fails_is_named() -> None:
    class Misfolded(nn.Module):
        pass

    @folds(Misfolded)
    def misfold(module: Misfolded) -> nn.Module:
        return module.conv

    with pytest.raises(ExportError, match=r"the fold 'misfold' of Misfolded fails .AttributeError: .*conv"):
        fold(nn.Sequential(Misfolded()))


def test_a_binary_layer_without_a_fold_is_refused() -> None:
    with pytest.raises(ExportError, match=r"no fold covers .*'1\.conv'.*bitsr\.export\.deploy\.folds"):
        fold(nn.Sequential(nn.ReLU(), LonelyBlock()))


class OwnBlock(LonelyBlock):
    pass


class FoldedOwnBlock(nn.Module):
    def __init__(self, block: OwnBlock) -> None:
        super().__init__()
        self.conv = fold_conv(block.conv)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x, residual=x)  # type: ignore[no-any-return]


def test_a_fold_of_ones_own() -> None:
    folds(OwnBlock)(FoldedOwnBlock)
    network, x = nn.Sequential(nn.ReLU(), OwnBlock()), torch.randn(1, 4, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(fold(network)(x), network(x))
    with pytest.raises(ValueError, match="OwnBlock has a fold already"):
        folds(OwnBlock)(FoldedOwnBlock)


def test_an_activation_that_does_not_fold_is_refused() -> None:
    with pytest.raises(ExportError, match=r"GELU can not be folded.*use ReLU, LeakyReLU or PReLU"):
        negative_slope(nn.GELU(), channels=4)


def test_batch_norm_without_statistics_is_refused() -> None:
    conv = BinaryConv2d(4, 4, 3, activation_binarizer=Sign(), weight_binarizer=SignWeight())
    with pytest.raises(ExportError, match="without running statistics"):
        fold_conv(conv, norm=nn.BatchNorm2d(4, track_running_stats=False))


def test_a_layer_takes_one_threshold() -> None:
    conv = BinaryConv2d(4, 4, 3, activation_binarizer=RSign(4), weight_binarizer=SignWeight())
    x = torch.rand(1, 4, 3, 3)
    with pytest.raises(ValueError, match="not both"):
        fold_conv(conv)(x, threshold=torch.zeros(1, 4))
    with pytest.raises(ValueError, match="either a constant threshold"):
        fold_conv(conv, picture_threshold=True)(x)
