"""Attention maps, the loss between two networks, and a training with a teacher."""

from pathlib import Path

import pytest
import torch

from bitsr.artifact.weights import WeightsInfo
from bitsr.common.errors import UsageError
from bitsr.training.distillation import Distillation, attention_map
from bitsr.training.models import create_model
from bitsr.training.recipe import make_recipe
from bitsr.training.trainer import train
from bitsr.training.weights import read_weights, save_weights


def test_attention_map_by_hand() -> None:
    features = torch.tensor([[[[3.0, 0.0]], [[1.0, 2.0]]]])  # two channels of 1x2 pixels
    expected = torch.tensor([[5.0, 2.0]]) / 29**0.5
    torch.testing.assert_close(attention_map(features), expected)
    torch.testing.assert_close(attention_map(130 * features), expected)  # amplification does not matter


def test_the_loss_is_the_sum_over_the_blocks() -> None:
    torch.manual_seed(0)
    student, teacher = create_model("test_frb_x2"), create_model("test_msrresnet_x2")
    low = torch.rand(2, 3, 6, 5)
    guide = Distillation(student, teacher, weight=3.0)
    student(low)
    loss = guide.loss(low)
    with torch.no_grad():
        own = student.body[0](torch.nn.functional.leaky_relu(student.head(low * student.input_scale), 0.1))
        guiding = teacher.body[0](torch.nn.functional.leaky_relu(teacher.head(low), 0.1))
        expected = 3 * (attention_map(own) - attention_map(guiding)).square().mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in student.body.parameters() if p.dim() == 4)
    assert all(p.grad is None for p in teacher.parameters())
    assert student.conv_last.weight.grad is None  # it lies behind the blocks


def test_the_parts_of_ibtm() -> None:
    """Divergence of the channels' softmax at the ends of two stages of three blocks, and the pictures' difference."""
    torch.manual_seed(0)
    student, teacher = (create_model(name, blocks=3) for name in ("test_frb_x2", "test_msrresnet_x2"))
    low = torch.rand(2, 3, 6, 5)
    guide = Distillation(student, teacher, weight=2.0, features="softmax", stages=2, output=1.5)
    picture = student(low)
    loss = guide.loss(low)
    with torch.no_grad():
        own = torch.nn.functional.leaky_relu(student.head(low * student.input_scale), 0.1)
        guiding = torch.nn.functional.leaky_relu(teacher.head(low), 0.1)
        expected = 1.5 * (picture - teacher(low)).abs().mean()
        for place in range(3):
            own, guiding = student.body[place](own), teacher.body[place](guiding)
            if place in (0, 2):
                p, q = guiding.softmax(dim=1), own.softmax(dim=1)
                expected += 2 * (p * (p / q).log()).sum(dim=1).mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert student.conv_last.weight.grad.any()  # the picture's part reaches it


def test_more_stages_than_blocks_are_refused() -> None:
    with pytest.raises(UsageError, match="2 stages of 1 blocks"):
        Distillation(create_model("test_frb_x2"), create_model("test_msrresnet_x2"), weight=1.0, stages=2)


def test_a_network_is_its_own_perfect_teacher() -> None:
    torch.manual_seed(0)
    student, teacher = create_model("test_msrresnet_x2"), create_model("test_msrresnet_x2")
    teacher.load_state_dict(student.state_dict())
    guide = Distillation(student, teacher, weight=1.0)
    for _ in range(2):  # nothing is left over from the step before
        low = torch.rand(1, 3, 6, 6)
        student(low)
        assert guide.loss(low).item() == 0


@pytest.mark.parametrize("teacher", ["msrresnet_x2", "test_bbcu_l_x2"])
def test_another_structure_can_not_teach_its_features(teacher: str) -> None:
    with pytest.raises(UsageError, match=rf"{teacher} .*can not teach test_frb_x2 \(1 blocks\)"):
        Distillation(create_model("test_frb_x2"), create_model(teacher), weight=1.0)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_another_scale_can_not_teach(weight: float) -> None:
    with pytest.raises(UsageError, match=r"msrresnet_x4 \(x4\) can not teach test_frb_x2 \(x2\)"):
        Distillation(create_model("test_frb_x2"), create_model("msrresnet_x4"), weight=weight, output=1.0)


@pytest.mark.parametrize(
    ("student", "teacher"), [("test_bidiffsr_x2", "test_ecbsr_x2"), ("test_ecbsr_x2", "test_bidiffsr_x2")]
)
def test_noise_is_no_picture_to_teach(student: str, teacher: str) -> None:
    with pytest.raises(UsageError, match="test_bidiffsr_x2 predicts noise"):
        Distillation(create_model(student), create_model(teacher), weight=0.0, output=1.0)


def test_pictures_are_taught_by_any_network() -> None:
    """Of a network of another family, with the loss by hand."""
    torch.manual_seed(0)
    student, teacher = create_model("test_ebsr_plus_x2", blocks=3), create_model("test_ecbsr_x2")
    low = torch.rand(2, 3, 6, 5)
    guide = Distillation(student, teacher, weight=0.0, output=2.0)
    picture = student(low)
    with torch.no_grad():
        expected = 2 * (picture - teacher(low)).abs().mean()
    torch.testing.assert_close(guide.loss(low), expected)


def test_a_training_with_a_teacher_resumes_to_the_same_weights(pictures: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    teacher = tmp_path / "teacher.safetensors"
    save_weights(teacher, create_model("test_msrresnet_x2").state_dict(), WeightsInfo(model="test_msrresnet_x2"))
    content = {
        "model": "test_frb_x2",
        "data": {"train": [pictures], "patch": 8, "workers": 1},
        "steps": 4,
        "batch_size": 2,
        "optimizer": {"lr": 1e-2},
        "accelerator": "cpu",
        "tensorboard": False,
        "threads": 1,
        "teacher": {"weights": str(teacher), "weight": 100.0},
    }
    results = {}
    for name, parts in {"whole": [4], "halves": [2, 4], "alone": [4]}.items():
        for steps in parts:
            recipe = make_recipe({**content, "steps": steps})
            if name == "alone":
                recipe = make_recipe({**content, "teacher": {}})
            best = train(recipe, run_dir=tmp_path / name, resume=steps != parts[0])
        results[name] = read_weights(best)[1]
    assert all(torch.equal(value, results["halves"][key]) for key, value in results["whole"].items())
    assert any(not torch.equal(value, results["alone"][key]) for key, value in results["whole"].items())
    with pytest.raises(UsageError, match=r"teacher\.weights was"):
        train(make_recipe({**content, "steps": 6, "teacher": {}}), run_dir=tmp_path / "whole", resume=True)
