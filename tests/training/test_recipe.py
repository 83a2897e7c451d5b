"""Strict recipes: unknown keys are named with the nearest known one; overrides; the shipped files are valid."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bitsr.common.errors import UsageError
from bitsr.training.models import list_models
from bitsr.training.recipe import Recipe, Schedule, find_recipe, load_recipe, recipe_folder, resumed
from bitsr.training.schedule import rate_factor

SHIPPED = sorted(recipe_folder().glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid_and_named_after_their_model(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.model == path.stem
    assert recipe.model in list_models()


def test_the_papers_recipe_of_ebsr_light() -> None:
    """EBSR, section 6.1."""
    recipe = load_recipe(find_recipe("ebsr_light_x4"))
    assert (recipe.data.patch, recipe.batch_size, recipe.steps) == (48, 16, 300_000)
    assert recipe.optimizer.lr == 2e-4
    assert rate_factor(recipe.schedule, step=200_000, steps=300_000) == pytest.approx(0.5)


def test_overrides_and_round_trip(tmp_path: Path) -> None:
    recipe = load_recipe(SHIPPED[0], ["optimizer.lr=3e-3", "steps=7", "data.train=[a, b]", "compile=true"])
    assert (recipe.optimizer.lr, recipe.steps, recipe.compile) == (3e-3, 7, True)
    recipe.save(tmp_path / "recipe.yaml")
    assert load_recipe(tmp_path / "recipe.yaml") == recipe


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimiser={}", "unknown key 'optimiser'; did you mean 'optimizer'"),
        ("optimizer.lrate=1", "unknown key 'optimizer.lrate'; did you mean 'lr'"),
        ("optimizer.muon={lrate: 1}", "unknown key 'optimizer.muon.lrate'; did you mean 'lr'"),
        ("steps=-1", "'steps': input should be greater than or equal to 1, got -1"),
        ("precision=fp16", "'precision': input should be 'fp32' or 'bf16'"),
        ("steps", "expected key=value"),
        ("steps.more=1", "'steps' is a single value"),
        ("steps=[", "not valid YAML"),
    ],
)
def test_wrong_overrides(override: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe(SHIPPED[0], [override])
    assert message in str(caught.value)


def test_wrong_files(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "empty.yaml").write_text("model: ebsr_light_x4\n")
    for name, message in (("list", "key: value"), ("broken", "cannot read"), ("empty", "'data' is missing")):
        with pytest.raises(UsageError, match=message):
            load_recipe(tmp_path / f"{name}.yaml")
    with pytest.raises(UsageError, match="did you mean ebsr_light_x4"):
        find_recipe("ebsr_lite_x4")


def test_schedules() -> None:
    step = Schedule(kind="step", every=100, gamma=0.5)
    assert [rate_factor(step, step=s, steps=300) for s in (0, 99, 100, 250)] == [1, 1, 0.5, 0.25]
    cosine = Schedule(kind="cosine", warmup=10, final=0.02)
    rates = [rate_factor(cosine, step=s, steps=110) for s in range(111)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1
    assert rates[60] == pytest.approx(0.51)
    assert rates[110] == pytest.approx(0.02)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_milestones() -> None:
    schedule = Schedule(kind="milestones", milestones=[100, 150], gamma=0.5, warmup=2)
    assert [rate_factor(schedule, step=s, steps=300) for s in (0, 2, 99, 100, 149, 150, 299)] == [
        *(0.5, 1, 1, 0.5, 0.5, 0.25, 0.25)
    ]
    for wrong in ({"kind": "milestones"}, {"milestones": [3]}, {"kind": "milestones", "milestones": [5, 5]}):
        with pytest.raises(ValueError, match="milestones are rising steps"):
            Schedule(**wrong)


def test_swinir_halves_its_rate_where_its_code_does() -> None:
    recipe = load_recipe(find_recipe("swinir_light_x2"))
    steps = (249_999, 250_000, 400_000, 450_000, 475_000)
    factors = [rate_factor(recipe.schedule, step=step, steps=recipe.steps) for step in steps]
    assert factors == [1, 0.5, 0.25, 0.125, 0.0625]


@pytest.mark.parametrize(
    "setting",
    [
        lambda r: r.schedule.kind == "milestones",
        lambda r: r.optimizer.kind == "adamw" and r.optimizer.weight_decay,
        lambda r: r.optimizer.kind == "adam" and r.optimizer.weight_decay,
        lambda r: r.optimizer.muon,
        lambda r: r.loss == "charbonnier",
        lambda r: r.binary_from,
        lambda r: r.swa_from,
        lambda r: r.ema,
        lambda r: r.accumulate > 1,
        lambda r: r.teacher.weights and r.teacher.features == "attention",
        lambda r: r.teacher.weights and r.teacher.features == "softmax" and r.teacher.stages,
        lambda r: r.teacher.weights and r.teacher.output,
    ],
    ids=[
        "milestones",
        "adamw",
        "decay",
        "muon",
        "charbonnier",
        "two-step",
        "swa",
        "ema",
        "accumulate",
        "attention",
        "softmax",
        "output",
    ],
)
def test_every_setting_is_used_by_a_recipe(setting: Callable[[Recipe], object]) -> None:
    assert any(setting(load_recipe(path)) for path in SHIPPED)


def test_a_teacher_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="teaches nothing"):
        load_recipe(SHIPPED[0], ["teacher.weight=0"])


def test_two_averages_are_refused() -> None:
    with pytest.raises(UsageError, match="two averages of the weights"):
        load_recipe(SHIPPED[0], ["ema=0.9", "swa_from=5"])


def test_missing_folders_are_named_with_their_key(tmp_path: Path) -> None:
    recipe = load_recipe(SHIPPED[0], [f"data.train=[{tmp_path}]", f"data.validation={tmp_path}/none"])
    with pytest.raises(UsageError, match=r"/none \(data\.validation of the recipe\); put pictures there, or name"):
        recipe.check_folders()
    load_recipe(SHIPPED[0], [f"data.train=[{tmp_path}]", "data.validation=null"]).check_folders()


@pytest.mark.parametrize(("before", "now"), [({}, {"blocks": 3}), ({"blocks": 3}, {}), ({"blocks": 3}, {"blocks": 4})])
def test_settings_are_those_of_the_checkpoint(before: dict[str, int], now: dict[str, int]) -> None:
    recipe = load_recipe(find_recipe("ebsr_light_x2"))
    stored = recipe.model_copy(update={"settings": before}).model_dump(mode="json")
    with pytest.raises(UsageError, match=r"settings was .* and is .* now"):
        resumed(stored, recipe.model_copy(update={"settings": now}))
    assert resumed(stored, recipe.model_copy(update={"settings": before})).settings == before


def test_recipes_of_before_are_read(tmp_path: Path) -> None:
    """Cards and run folders bounded a memory of pictures, and always made the low resolution."""
    recipe = load_recipe(SHIPPED[0], ["data.cache_mb=4096"])
    assert recipe == load_recipe(SHIPPED[0])
    stored = recipe.model_dump(mode="json")
    del stored["data"]["low"]
    assert resumed(stored, recipe).data.low == "made"
