"""The registry and the models' shapes, sizes and facts."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bitsr.common.errors import UsageError, WeightsError
from bitsr.training.layers import BinaryConv2d, ChannelShiftRescale
from bitsr.training.models import create_model, list_models, model_info, register_model, registry
from bitsr.training.models.backbones import LightBackbone
from bitsr.training.models.network import SuperResolutionModel
from bitsr.training.weights import embedded_weights, read_weights

# Small, and no output pixel depends on the whole picture.
LOCAL = [name for name in list_models("test_*", kind="direct") if not model_info(name).global_pooling]
SMALL = [m for m in list_models(kind="direct") if not m.startswith(("ebsr_x", "edsr_x"))]


@pytest.mark.parametrize("model_id", SMALL)
def test_shape_and_facts(model_id: str) -> None:
    torch.manual_seed(21)
    model = create_model(model_id).eval()
    assert model_id.endswith(f"_x{model.info.scale}")
    assert model.info == model_info(model_id)
    with torch.no_grad():
        y = model(torch.rand(1, 3, 5, 4))
    assert y.shape == (1, 3, 5 * model.info.scale, 4 * model.info.scale)


@pytest.mark.parametrize("model_id", ["ebsr_x4", "edsr_x4"])
def test_large_models_have_facts_without_weights(model_id: str) -> None:
    info = model_info(model_id)
    assert (info.channels, info.config["blocks"]) == (256, 32)


@pytest.mark.parametrize(
    ("model_id", "thousands"),
    [("srresnet_x2", 1367.4), ("srresnet_x4", 1514.9), ("edsr_x4", 43090)],
)
def test_float_references_have_the_published_size(model_id: str, thousands: float) -> None:
    """Convolution weights without biases, as the tables of BBCU and EBSR count; rounded there to four digits."""
    with torch.device("meta"):
        model = create_model(model_id)
    weights = sum(p.numel() for name, p in model.named_parameters() if name.endswith("weight"))
    assert weights / 1000 == pytest.approx(thousands, rel=5e-4)


def test_ebsr_light_has_32_binary_convolutions_of_64_channels() -> None:
    model = create_model("ebsr_light_x4")
    layers = [m for m in model.modules() if isinstance(m, BinaryConv2d)]
    assert len(layers) == 32
    assert {tuple(layer.weight.shape) for layer in layers} == {(64, 64, 3, 3)}


def test_unknown_id_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean ebsr_light_x4") as caught:
        create_model("ebsr_ligth_x4")
    assert caught.value.exit_code == 2


def test_settings_of_an_id_can_be_overridden() -> None:
    model = create_model("test_ebsr_plus_x2", blocks=3, input_scale=4)
    assert len(model.body) == 3
    assert model.normalize.input_scale == 4
    assert (model.info.id, model.info.config["blocks"], model.info.config["channels"]) == ("test_ebsr_plus_x2", 3, 8)
    assert model.info.receptive_field_radius == 8
    assert model_info("test_ebsr_plus_x2").config["blocks"] == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blocks": "three"}, "'blocks' of 'test_ebsr_plus_x2' is 'three', expected a whole number"),
        ({"blocks": -1}, "is -1, expected a whole number from 0 on"),
        ({"channels": -8}, "is -8, expected a whole number from 0 on"),
        ({"blocks": True}, "is True, expected a whole number"),
        ({"blocks": 2.5}, "is 2.5, expected a whole number"),
        ({"input_scale": "wide"}, "is 'wide', expected a finite number"),
        ({"input_scale": float("nan")}, "is nan, expected a finite number"),
        ({"input_scale": 10**400}, "expected a finite number"),
        ({"input_scale": False}, "is False, expected a finite number"),
    ],
)
def test_a_setting_of_another_type_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        create_model("test_ebsr_plus_x2", **settings)


@pytest.mark.parametrize("name", ["test_ebsr_plus_x2", "test_bbcu_l_x2", "test_msrresnet_x2", "bidiffsr_x4"])
def test_a_network_of_no_channels_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="has 0 channels"):
        create_model(name, channels=0)


def test_a_scale_that_artifacts_can_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match=r"enlarges by 17, expected .* from 1 to 16"):
        SuperResolutionModel(scale=17, channels=8, receptive_field_radius=1)


def test_counts_in_a_row_are_checked_too() -> None:
    assert create_model("test_swinir_x2", depths=[1]).info.config["depths"] == (1,)
    for wrong in ((-2,), (1.5,), 2, "2"):
        with pytest.raises(UsageError, match=r"'depths' of 'test_swinir_x2' is .*, expected whole numbers from 0 on"):
            create_model("test_swinir_x2", depths=wrong)
    with pytest.raises(UsageError, match=r"is \(\), expected one or more whole numbers from 1 on"):
        create_model("test_sr3_x4", multipliers=())
    assert create_model("test_bidiffsr_x4", float_levels=()).info.config["float_levels"] == ()
    with pytest.raises(UsageError, match="is \\(-1,\\), expected whole numbers from 0 on"):
        create_model("test_bidiffsr_x4", float_levels=(-1,))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *[("test_swinir_x2", {name: 0}) for name in ("window", "heads", "tile")],
        ("test_fsrcnn_x2", {"shrunk": 0}),
        ("test_xlsr_x2", {"branch": 0}),
        ("test_bidiffsr_x4", {"time_groups": 0}),
        ("test_bidiffsr_x4", {"multipliers": (0, 2)}),
        ("test_sr3_x4", {"multipliers": ()}),
        ("test_sr3_x4", {"norm_groups": 0}),
        ("test_ebsr_plus_x2", {"input_scale": 0.0}),
        ("test_e2fif_x2", {"input_scale": -255}),
    ],
)
def test_what_there_must_be_can_not_be_nothing(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(
        UsageError, match=r"expected (a whole number from 1|one or more whole numbers from 1|a finite number above 0)"
    ):
        create_model(name, **settings)


def test_what_can_not_be_shared_is_refused() -> None:
    with pytest.raises(UsageError, match="8 channels can not be shared by 3 heads, expected a multiple"):
        create_model("test_swinir_x2", heads=3)


def test_a_network_may_have_no_blocks() -> None:
    assert len(create_model("test_ebsr_plus_x2", blocks=0).body) == 0


def test_what_is_negative_by_itself_may_stay_so(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Signed:
        shift: int = -1

    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    register_model("own_signed_x{scale}", scales=(2,), config=Signed())(lambda scale, config: create_model("e2fif_x2"))
    assert create_model("own_signed_x2", shift=-2).info.config == {"shift": -2}


def test_numbers_as_yaml_reads_them() -> None:
    """1e-3 is a text in YAML."""
    assert create_model("test_ebsr_plus_x2", input_scale="1e-3").info.config["input_scale"] == 1e-3


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="'e2fif_x2' has no setting 'block'; did you mean blocks"):
        create_model("e2fif_x2", block=3)
    with pytest.raises(UsageError, match="'e2fif_x2' has no setting 'zzz'; it has: channels, blocks"):
        create_model("e2fif_x2", zzz=3)


def test_pretrained_are_the_weights_that_come_with_bitsr() -> None:
    torch.manual_seed(0)
    model = create_model("ebsr_light_plus_x2", pretrained=True)
    _, stored = read_weights(embedded_weights("ebsr_light_plus_x2"))
    state = model.state_dict()
    assert set(stored) == set(state)
    assert all(torch.equal(stored[name], tensor) for name, tensor in state.items())
    with pytest.raises(WeightsError, match="no trained weights of 'test_ebsr_plus_x2'"):
        create_model("test_ebsr_plus_x2", pretrained=True)


def test_a_network_needs_no_id() -> None:
    """It is made from a body, and knows what follows from that."""
    body = nn.Sequential(nn.Conv2d(6, 6, 5, padding=4, dilation=2), nn.ReLU(), nn.Conv2d(6, 6, 1))
    model = LightBackbone(body, channels=6, scale=3)
    assert (model.name, model.scale, model.channels) == ("LightBackbone", 3, 6)
    assert (model.receptive_field_radius, model.global_pooling, model.fixed_size) == (6, False, 0)
    pooled = LightBackbone(nn.Sequential(body, ChannelShiftRescale(6)), channels=6)
    assert pooled.global_pooling


@pytest.mark.parametrize("model_id", ["e2fif_x3", "ebsr_light_x3", "srresnet_x3"])
def test_values_are_those_of_the_published_code(model_id: str) -> None:
    """It computes pictures of 0 to 255: subtracts their mean, runs, shuffles, adds the mean."""
    torch.manual_seed(25)
    model = create_model(model_id, blocks=1).eval()
    x = torch.rand(1, 3, 6, 5)
    mean = 255 * torch.tensor([0.4488, 0.4371, 0.4040]).reshape(1, 3, 1, 1)
    with torch.no_grad():
        head = model.head(255 * x - mean)
        if model_id == "srresnet_x3":
            y = model.tail(model.upsampler(model.body_end(model.body(head)) + head))
        else:
            y = F.pixel_shuffle(model.tail(model.body(head) + head), 3)
        torch.testing.assert_close(model(x), (y + mean) / 255, rtol=1e-5, atol=1e-5)


def test_the_plus_models_keep_their_amplification() -> None:
    """Trained weights depend on it."""
    assert {model_info(name).config["input_scale"] for name in list_models("ebsr_light_plus*")} == {64.0}


def test_an_id_is_registered_once() -> None:
    with pytest.raises(ValueError, match="'e2fif_x2' is registered twice"):
        register_model("e2fif_x{scale}", scales=(2,))(lambda scale: create_model("e2fif_x2"))


def test_a_builder_that_fails_is_named_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    # The broken ones are gone after it: other tests list and build what is registered.
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))

    def broken(scale: int) -> LightBackbone:
        raise KeyError("body")

    def nothing(scale: int) -> Any:
        return nn.Identity()

    class Unfinished(SuperResolutionModel):
        def __init__(self) -> None:
            nn.Module.__init__(self)

    builders: dict[str, Any] = {
        "broken": broken,
        "nothing": nothing,
        "no_argument": lambda: None,
        "unfinished": lambda _: Unfinished(),
    }
    for name, words in (
        ("broken", r"the builder 'broken' of 'own_broken_x2' \(.*test_models\.py, line \d+\) fails .KeyError: 'body'"),
        ("nothing", "gives a Identity, expected a SuperResolutionModel"),
        ("no_argument", "fails .TypeError: .*takes 0 positional arguments"),
        ("unfinished", "gives a network without scale, channels"),
    ):
        register_model(f"own_{name}_x{{scale}}", scales=(2,))(builders[name])
        with pytest.raises(UsageError, match=words):
            create_model(f"own_{name}_x2")


def test_list_models_by_pattern() -> None:
    assert list_models("e2fif_x*") == ["e2fif_x2", "e2fif_x3", "e2fif_x4"]
    assert list_models("nothing*") == []


def test_nearest_skip_is_the_nearest_neighbour_enlargement() -> None:
    model = create_model("test_ebsr_plus_x3").eval()
    with torch.no_grad():
        model.tail.weight.zero_()
        model.tail.bias.zero_()
        x = torch.rand(2, 3, 5, 4)
        assert torch.equal(model(x), F.interpolate(x, scale_factor=3, mode="nearest"))


@pytest.mark.parametrize("model_id", LOCAL)
def test_receptive_field_is_not_larger_than_stated(model_id: str) -> None:
    """A change of one pixel reaches no output pixel beyond the stated radius."""
    torch.manual_seed(22)
    model = create_model(model_id).eval()
    scale, radius = model.info.scale, model.info.receptive_field_radius
    assert not model.info.global_pooling
    x = torch.rand(1, 3, 2 * radius + 7, 2 * radius + 7)
    changed = x.clone()
    changed[..., 0, 0] += 5.0
    with torch.no_grad():
        difference = (model(x) - model(changed)).abs().amax(dim=(0, 1))
    reached = int((difference.amax(dim=0) > 0).nonzero().max()) // scale
    assert 0 < reached <= radius
    assert float(difference[scale * (radius + 1) :, :].max()) == 0


@pytest.mark.parametrize("model_id", ["test_ebsr_plus_x2", "test_e2fif_x2", "test_srresnet_x2"])
def test_training_form_can_be_exported(model_id: str) -> None:
    """No data-dependent Python: torch.export traces it and the traced program gives the same numbers."""
    torch.manual_seed(23)
    model = create_model(model_id).eval()
    x = torch.rand(1, 3, 8, 6)
    program = torch.export.export(model, (x,))
    with torch.no_grad():
        assert torch.allclose(program.module()(x), model(x), atol=1e-6)


def test_every_parameter_gets_a_gradient() -> None:
    """Unused parameters would stop a distributed training."""
    torch.manual_seed(24)
    for model_id in SMALL:
        if not model_id.endswith("_x2"):
            continue
        model = create_model(model_id)
        model(torch.rand(2, 3, 6, 6)).square().mean().backward()
        missing = [name for name, p in model.named_parameters() if p.grad is None]
        assert missing == [], model_id
