"""Head and tail in integers: close to the float ones, the same on every machine, and only where they belong."""

import hashlib

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.export.deploy import FoldedBackbone, QuantizedConv2d, deploy_form, fold, with_integer_ends
from bitsr.export.deploy.folds.backbones import BilinearUpsample
from bitsr.export.deploy.integer_ends import range_pictures
from bitsr.export.deploy.integer_layers import IntegerBilinear
from bitsr.export.deploy.layers import AddVector
from bitsr.export.errors import ExportError
from bitsr.export.parity.recording import record
from bitsr.training.models import create_model


def pixels(height: int, width: int, *, seed: int = 0) -> Tensor:
    """A picture (1, 3, height, width) as files have it: whole numbers of 1/255."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, 3, height, width), generator=generator).float() / 255


def both(model_id: str) -> tuple[FoldedBackbone, FoldedBackbone]:
    """The float and the integer form of a network with fresh weights."""
    torch.manual_seed(2)
    folded = fold(create_model(model_id))
    made = with_integer_ends(folded)
    assert isinstance(folded, FoldedBackbone)
    assert isinstance(made, FoldedBackbone)
    return folded, made


@pytest.mark.parametrize("model_id", ["test_ebsr_plus_x2", "test_e2fif_x3"])
@pytest.mark.parametrize("size", [(7, 9), (1, 5), (1, 1), (2, 2)], ids=str)
def test_the_head_is_the_float_one(model_id: str, size: tuple[int, int]) -> None:
    """Each weight is off by half a step of 1/32767 of the largest at most, and so is its part of the sum."""
    folded, made = both(model_id)
    x = pixels(*size)
    with torch.no_grad():
        expected, found = folded.features(x), made.features(x)
    weight = folded.head.weight.detach()
    step = weight.abs().amax(dim=(1, 2, 3)) / 32767
    # Pixels without their mean are at most 0.6 away from 0.
    bound = 0.5 * step * weight[0].numel() * 0.6 + 1e-4 * weight.abs().sum(dim=(1, 2, 3))
    assert ((found - expected).abs() <= bound.reshape(1, -1, 1, 1)).all()


def test_padding_counts_as_the_mean() -> None:
    """A picture of the mean gives the bias alone, at the border too, as it does where padded zeros follow the mean."""
    _, made = both("test_e2fif_x2")
    # As near as pixels come to it; what is left is the same everywhere only without a border.
    head = made.head
    assert isinstance(head, QuantizedConv2d)
    assert head.bias.shape == (16, head.out_channels)
    taps = head.weight.double() * torch.tensor([0.4488, 0.4371, 0.4040]).reshape(1, 3, 1, 1) * 255
    inside = {0: slice(0, 3), 1: slice(1, 3), 2: slice(0, 2), 3: slice(1, 2)}
    middle = head.bias[0].double() + head.scale.double() * taps.sum(dim=(1, 2, 3))
    for border in range(16):
        part = taps[:, :, inside[border // 4], inside[border % 4]].sum(dim=(1, 2, 3))
        torch.testing.assert_close(head.bias[border].double() + head.scale * part, middle, rtol=0, atol=1e-4)


def test_the_tail_is_the_float_one() -> None:
    """On maps of the range that was measured, and on two hundred times as much: it is cut off only beyond."""
    folded, made = both("test_ebsr_plus_x2")
    tail = made.tail
    assert isinstance(tail, QuantizedConv2d)
    with torch.no_grad():
        body = folded.body(made.features(pixels(11, 13)))
        expected = folded.tail(body)
        error = (tail(body) - expected).abs().max()
        # 72 products of numbers that are off by up to half a level of 127.
        assert error < 0.03 * expected.abs().max()
        for factor, cut in ((100.0, False), (5000.0, True)):
            moved = (tail(factor * body) - folded.tail(factor * body)).abs().max() / factor
            assert (moved > 4 * error) == cut


def test_a_tail_is_of_bytes() -> None:
    """Which kernels multiply fastest: the weights, and the levels of what the pictures of the ranges give."""
    folded, made = both("test_ebsr_plus_x4")
    tail = made.tail
    with torch.no_grad():
        body = folded.body(made.features(range_pictures()))
    assert tail.weight.dtype == torch.int8
    largest = body.abs().amax(dim=(0, 2, 3)) * tail.inverse_step
    torch.testing.assert_close(largest, torch.full_like(largest, 127.0))
    assert tail.negative == tail.positive == 32639
    assert torch.equal(made.head.inverse_step, torch.full((3,), 255.0))


@pytest.mark.parametrize("model_id", ["test_ebsr_plus_x2", "test_ebsr_plus_x4", "test_bbcu_m_x4"])
def test_a_tail_is_as_fine_as_the_picture_needs(model_id: str) -> None:
    """A network that reacts more strongly is off by more steps of a pixel; then its levels and weights are finer."""
    torch.manual_seed(2)
    network = fold(create_model(model_id))
    assert isinstance(network, FoldedBackbone)
    (last,) = [layer for layer in network.tail.modules() if isinstance(layer, nn.Conv2d)][-1:]
    values = network.body(with_integer_ends(network).features(range_pictures()))
    kinds = []
    with torch.no_grad():
        last.weight.mul_(1e-3)
        for _ in range(6):
            made = with_integer_ends(network)
            *_, integer = [layer for layer in made.tail.modules() if isinstance(layer, QuantizedConv2d)]
            kinds.append((integer.weight.dtype, integer.positive))
            exact, found = (
                part(values) if network.shuffle is None else network.shuffle(part(values))
                for part in (network.tail, made.tail)
            )
            off = (found - exact).square().mean().sqrt()
            # An eighth of a step of a pixel for each factor of enlargement, where there is a choice.
            assert integer.weight.dtype == torch.int16 or off * 255 < 1.01 * int(model_id[-1]) / 8
            last.weight.mul_(16.0)
    assert kinds == sorted(kinds, key=lambda kind: kind[0] == torch.int16)
    assert kinds[0][0] == torch.int8
    assert kinds[-1][0] == torch.int16


def test_the_sums_have_room_for_fine_steps() -> None:
    """More than 8 bits for the weights of the head, wherever sums of 32 bits allow it, and none beyond 16."""
    _, made = both("test_ebsr_plus_x2")
    head = made.head
    assert head.weight.dtype == torch.int16
    assert 127 < head.weight.abs().max() <= 32767
    assert int(head.weight.long().abs().sum(dim=(1, 2, 3)).max()) * 255 < 1 << 31
    assert head.positive == 255


def test_many_channels_leave_fewer_levels() -> None:
    """No sum of products may leave 32 bits, whatever the weights are."""
    torch.manual_seed(0)
    network = fold(create_model("test_ebsr_plus_x2", channels=512, blocks=1))
    assert isinstance(network, FoldedBackbone)
    with torch.no_grad():
        network.tail.weight.fill_(0.01)
    tail = with_integer_ends(network).tail
    largest = int(tail.weight.long().abs().sum(dim=(1, 2, 3)).max())
    assert tail.positive * largest < 1 << 31 <= (tail.positive + 1) * largest
    assert tail.positive < 32639
    assert torch.isfinite(tail.scale).all()


def test_every_op_is_exact() -> None:
    x = pixels(6, 5)
    assert record(both("test_ebsr_plus_x2")[1], x).exact
    assert not record(both("test_ebsr_plus_x2")[0], x).exact
    assert not record(deploy_form(create_model("test_srresnet_x2")), x).exact


UPSAMPLERS = [
    "test_bbcu_l_x2",
    "test_bbcu_m_x3",
    "test_bbcu_m_x4",
    "test_bbcu_ht_x2",
    "test_frb_x2",
    "test_binedsr_x2",
    "test_reactnet_x2",
]


@pytest.mark.parametrize("model_id", UPSAMPLERS)
@pytest.mark.parametrize("size", [(9, 12), (1, 3)], ids=str)
def test_an_upsampler_is_the_float_one(model_id: str, size: tuple[int, int]) -> None:
    """Behind the same body, at the border too, and all of it exact: what is left is the rounding of the levels."""
    folded, made = both(model_id)
    x = pixels(*size)
    assert next(made.parameters(), None) is None
    assert record(made, x).exact
    with torch.no_grad():
        features = made.features(x)
        assert (features - folded.features(x)).abs().max() < 1e-3 * features.abs().max()
        # Of the body the integer form leaves the vector that ReActNet adds at its end to the layer behind it.
        expected, found = folded.tail(folded.body(features)), made.tail(made.body(features))
        # Steps are of what the pictures of the ranges reach.
        reached = folded.tail(folded.body(made.features(range_pictures()))).abs().max()
        assert (found - expected).abs().max() < 0.03 * reached
        if folded.skip is not None:
            torch.testing.assert_close(made.skip(x), folded.skip(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("model_id", ["reactnet_x2", "reactnet_light_x2"])
def test_a_vector_at_the_end_of_the_body_is_added_in_the_biases(model_id: str) -> None:
    """Padding follows it: at the border it is missing in as many taps as lie outside."""
    torch.manual_seed(5)
    folded = fold(create_model(model_id, channels=8, blocks=1))
    assert isinstance(folded, FoldedBackbone)
    (added,) = [layer for layer in folded.body.modules() if isinstance(layer, AddVector)]
    with torch.no_grad():
        added.vector.copy_(torch.randn_like(added.vector))
    made = with_integer_ends(folded)
    assert isinstance(made, FoldedBackbone)
    assert not any(isinstance(layer, AddVector) for layer in made.modules())
    x = pixels(6, 7)
    with torch.no_grad():
        features = made.features(x)
        expected, found = folded.tail(folded.body(features)), made.tail(made.body(features))
    assert (found - expected).abs().max() < 0.03 * expected.abs().max()


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("size", [(5, 6), (1, 4), (1, 1), (2, 1)], ids=str)
def test_bilinear_enlargement_of_pixels(factor: int, size: tuple[int, int]) -> None:
    x = pixels(*size)
    expected = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    enlarge = IntegerBilinear(BilinearUpsample(3, factor).weight, factor)
    torch.testing.assert_close(enlarge(x), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("model_id", ["test_srresnet_x2", "test_msrresnet_x2", "float_light_fast_x2"])
def test_other_networks_stay_as_they_are(model_id: str) -> None:
    folded = fold(create_model(model_id))
    assert with_integer_ends(folded) is folded


def test_the_folded_network_is_not_changed() -> None:
    folded, made = both("test_ebsr_plus_x2")
    assert isinstance(folded.head, nn.Conv2d)
    assert with_integer_ends(made) is made


def test_the_pictures_of_the_ranges_are_the_same_everywhere() -> None:
    """Their pixels are integers of a hash: were they others on some machine, its artifacts would be others."""
    pictures = range_pictures()
    levels = (pictures * 255).round().to(torch.uint8)
    assert torch.equal(levels.float() / 255, pictures)
    assert pictures.shape == (2, 3, 48, 48)
    assert hashlib.sha256(levels.numpy().tobytes()).hexdigest()[:16] == "6ea6161d426f126b"
    for picture in levels:
        assert picture.min() < 20
        assert picture.max() > 235


def test_values_that_are_not_finite_are_refused() -> None:
    network = fold(create_model("test_ebsr_plus_x2"))
    with torch.no_grad():
        network.head.bias.fill_(torch.inf)
    with pytest.raises(ExportError, match="not finite"):
        with_integer_ends(network)


def test_a_filter_that_the_kernels_lack_stays_float() -> None:
    folded, _ = both("test_ebsr_plus_x2")
    head = folded.head
    folded.head = nn.Conv2d(head.in_channels, head.out_channels, 5, padding=2)
    assert with_integer_ends(folded) is folded
