"""Training recipes: YAML files that are checked strictly and stored beside the checkpoints."""

import difflib
from pathlib import Path
from typing import Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bitsr.artifact.fields import Setting
from bitsr.common.errors import UsageError
from bitsr.common.files import atomic_write


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Degradation(_Strict):
    """What low-resolution crops suffer beside their reduction (:mod:`bitsr.training.degradation`)."""

    share: float = Field(default=0.0, ge=0, le=1, description="of the crops; the others are clean. 0 turns it off")
    blur: float = Field(
        default=0.4, ge=0, description="largest standard deviation of the blur, in pixels of the low resolution"
    )
    noise: float = Field(default=4.0, ge=0, description="largest standard deviation of the noise, in units of 255")
    quality: tuple[int, int] = Field(default=(30, 95), description="lowest and highest quality of JPEG")
    twice: float = Field(
        default=0.3, ge=0, le=1, description="of these crops: saved, resized and saved again (Real-ESRGAN, 2021)"
    )

    @model_validator(mode="after")
    def _check_quality(self) -> Self:
        if not 1 <= self.quality[0] <= self.quality[1] <= 100:
            raise ValueError("quality is a rising pair from 1 to 100")
        return self


class Data(_Strict):
    """Where the pictures are and how they are cut. Relative folders count from the working directory."""

    train: list[Path] = Field(min_length=1)
    validation: Path | None = None
    patch: int = Field(default=48, ge=1, description="side of the low-resolution crop in pixels")
    low: Literal["beside", "made"] = Field(
        default="beside",
        description="low resolution: as published beside the originals (DIV2K_train_LR_bicubic/X4) where it lies "
        "there, or always made by MATLAB's bicubic",
    )
    cache: Path | None = Field(
        default=None, description="folder of decoded pictures, made once; none: in the user's cache folder"
    )
    on_broken: Literal["skip", "refuse"] = "skip"
    workers: int = Field(default=2, ge=1, description="threads that prepare batches")
    degradation: Degradation = Degradation()
    validation_jpeg: int | None = Field(
        default=None, ge=1, le=100, description="validate on pictures after JPEG of this quality; none: clean ones"
    )
    notes: list[str] = Field(default=[], description="origin and terms of the pictures, for the model card")

    @model_validator(mode="before")
    @classmethod
    def _of_before(cls, given: Any) -> Any:
        """Recipes of older trainings and cards bounded a memory of pictures, which is on disk now."""
        return {key: value for key, value in given.items() if key != "cache_mb"} if isinstance(given, dict) else given


class MuonSettings(_Strict):
    """Muon for the latent weights of binary layers (:class:`bitsr.training.optimizers.Muon`)."""

    lr: float = Field(gt=0, description="root mean square of a step's change of a latent weight")
    momentum: float = Field(default=0.95, ge=0, lt=1)
    iterations: int = Field(default=5, ge=1, description="Newton-Schulz iterations")
    decay: float = Field(default=0.0, ge=0, description="weight decay, times the rate, in each step")


class Optimizer(_Strict):
    """Adam, for all parameters or for all but the latent weights of binary layers.

    "adamw" takes the weight decay from the weights, times the rate (Loshchilov and Hutter, ICLR 2019); "adam" adds it
    to the gradient.
    """

    kind: Literal["adam", "adamw"] = "adam"
    lr: float = Field(gt=0)
    weight_decay: float = Field(default=0.0, ge=0, description="0 turns it off, as in most papers of the field")
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(default=1e-8, gt=0)
    muon: MuonSettings | None = Field(
        default=None, description="Muon for the latent weights; none: Adam, as for the rest"
    )


class Schedule(_Strict):
    """Learning rate over the steps.

    ``step`` multiplies by ``gamma`` every ``every`` steps, ``milestones`` at each of the steps that it names;
    ``cosine`` falls from the peak to ``final`` times the peak at the last step. All rise linearly over ``warmup`` steps
    first.
    """

    kind: Literal["constant", "step", "milestones", "cosine"] = "constant"
    warmup: int = Field(default=0, ge=0)
    milestones: list[int] = Field(default=[], description="steps, rising")
    every: int = Field(default=200_000, ge=1)
    gamma: float = Field(default=0.5, gt=0, le=1)
    final: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _check_milestones(self) -> Self:
        if (self.kind == "milestones") != bool(self.milestones) or self.milestones != sorted(set(self.milestones)):
            raise ValueError("milestones are rising steps for the kind 'milestones', and for no other")
        return self


class Teacher(_Strict):
    """Network that guides the training (:mod:`bitsr.training.distillation`): for features of the same structure."""

    weights: str | None = Field(default=None, description="weights file, or model id with embedded weights; none: off")
    weight: float = Field(default=1.0, ge=0, description="factor of the features' difference in the loss; 0: none")
    features: Literal["attention", "softmax"] = Field(
        default="attention",
        description="how the blocks' features are compared: normalised attention maps (FRB, ICML 2024), or the "
        "divergence of their softmax (IBTM, AAAI 2021)",
    )
    stages: int = Field(
        default=0, ge=0, description="at the ends of how many parts of the blocks (IBTM: 4); 0: behind every block"
    )
    output: float = Field(
        default=0.0,
        ge=0,
        description="factor of the mean absolute difference of both networks' pictures (IBTM); 0: none",
    )

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        if not self.weight and not self.output:
            raise ValueError("a teacher of neither features (weight) nor pictures (output) teaches nothing")
        return self


class Recipe(_Strict):
    """Everything that decides a training's result."""

    model: str
    settings: dict[str, Setting] = Field(
        default={}, description="fields of the model's configuration that differ, such as blocks: 4 (create_model)"
    )
    data: Data
    steps: int = Field(ge=1)
    batch_size: int = Field(default=16, ge=1, description="pictures per step, over all devices together")
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    accumulate: int = Field(
        default=1, ge=1, description="parts of a step's batch that are computed one after the other, for little memory"
    )
    loss: Literal["l1", "charbonnier"] = Field(
        default="l1", description="mean absolute error, or Charbonnier's with epsilon 1e-3 (LapSRN, CVPR 2017)"
    )
    ema: float = Field(default=0.0, ge=0, lt=1, description="decay of the averaged weights; 0 turns it off")
    swa_from: int = Field(
        default=0,
        ge=0,
        description="step after which the kept weights are the plain mean over all steps (SWA, Izmailov et al., UAI "
        "2018), in place of ema; 0 turns it off",
    )
    binary_from: int = Field(
        default=0,
        ge=0,
        description="first step with binary weights: before it the activations alone are binary (two-step training, "
        "Martinez et al., ICLR 2020, as in ReActNet's code); what is measured and kept is binary throughout",
    )
    clip_norm: float = Field(default=0.0, ge=0, description="limit of the gradient norm; 0 turns it off")
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    seed: int = Field(default=1, ge=0)
    init_from: str | None = Field(default=None, description="weights file of another model or scale to start from")
    teacher: Teacher = Teacher()
    validate_every: int = Field(default=5000, ge=1, description="steps")
    checkpoint_minutes: float = Field(default=10.0, gt=0)
    log_every: int = Field(default=50, ge=1, description="steps")
    tensorboard: bool = True
    accelerator: str = "auto"
    devices: int | Literal["auto"] = 1
    nodes: int = Field(default=1, ge=1)
    threads: int = Field(default=0, ge=0, description="CPU threads of PyTorch; 0 leaves its default")

    @model_validator(mode="after")
    def _check_averages(self) -> Self:
        if self.ema and self.swa_from:
            raise ValueError("ema and swa_from are two averages of the weights; choose one of them")
        return self

    def check_folders(self) -> None:
        """Refuse picture folders that are not there, before anything is loaded.

        Raises:
            UsageError: with the key that names the folder.
        """
        for key, folders in (("train", self.data.train), ("validation", [self.data.validation])):
            for folder in folders:
                if folder is not None and not folder.is_dir():
                    raise UsageError(
                        f"there is no picture folder {folder} (data.{key} of the recipe); put pictures there, or name "
                        f"other folders: data.{key}={'[DIR]' if key == 'train' else 'DIR, or null for none'}"
                    )

    def save(self, path: Path) -> None:
        """Write the recipe as YAML, every default spelled out."""
        with atomic_write(path) as temporary:
            temporary.write_text(self.to_yaml(), encoding="utf-8")

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


# What a resumed training may change: its length, and what decides where and how it runs, not what it learns.
FREE_ON_RESUME = {
    *("steps", "compile", "threads", "devices", "nodes", "accelerator", "tensorboard"),
    *("validate_every", "checkpoint_minutes", "log_every"),
    *("data.workers", "data.cache", "data.notes"),
}


def resumed(stored: dict[str, Any], recipe: Recipe) -> Recipe:
    """The recipe of a training that goes on with ``recipe`` from a checkpoint.

    ``stored`` is the checkpoint's recipe as ``model_dump(mode="json")`` gave it; keys that it lacks are not compared.
    ``init_from`` has done its work: left out it is taken over.

    Raises:
        UsageError: other keys than :data:`FREE_ON_RESUME` differ; each is named with both values.
    """
    if recipe.init_from is None and stored.get("init_from"):
        recipe = recipe.model_copy(update={"init_from": stored["init_from"]})
    if "low" not in stored.get("data", {}):  # older trainings always made the low resolution
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"low": "made"})})
    stored = {**stored, "settings": str(stored.get("settings", {}))}
    before, now = _flat(stored), _flat({**recipe.model_dump(mode="json"), "settings": str(recipe.settings)})
    different = [
        f"{key} was {before[key]!r} and is {value!r} now"
        for key, value in now.items()
        if key in before and key not in FREE_ON_RESUME and before[key] != value
    ]
    if different:
        raise UsageError(
            f"the recipe is not the one of the checkpoint: {'; '.join(different)}; resume with the same values "
            f"(free are {', '.join(sorted(FREE_ON_RESUME))}), or start again in another folder"
        )
    return recipe


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return flat


def recipe_folder() -> Path:
    """The folder of the recipes that come with the package."""
    return Path(__file__).parent / "recipes"


def find_recipe(name: str | Path) -> Path:
    """A recipe file by path, or by name among the recipes of the package.

    Raises:
        UsageError: neither exists; the nearest name is suggested.
    """
    path = Path(name)
    if path.is_file():
        return path
    own = {p.stem: p for p in sorted(recipe_folder().glob("*.yaml"))}
    stem = path.name.removesuffix(".yaml")
    if path.parent == Path(".") and stem in own:
        return own[stem]
    near = difflib.get_close_matches(stem, own, n=2, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known recipes: {', '.join(own)}"
    raise UsageError(f"there is no recipe '{name}'; {hint}")


def load_recipe(path: Path | str, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe and apply ``key=value`` overrides (``optimizer.lr=1e-3``; values are YAML).

    Raises:
        UsageError: no such file, not YAML, an unknown key (the nearest one is suggested) or a value out of range.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read the recipe {path}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UsageError(f"the recipe {path} is no list of 'key: value' lines; see {recipe_folder()} for examples")
    for override in overrides or []:
        _override(content, override)
    return make_recipe(content, source=str(path))


def make_recipe(content: dict[str, Any], *, source: str = "recipe") -> Recipe:
    """Check a recipe given as a dictionary; errors as in :func:`load_recipe`."""
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(_describe(dict(e)) for e in error.errors())
        raise UsageError(f"{source}: {problems}") from None


def _override(content: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key:
        raise UsageError(f"'{override}' is no override; expected key=value, for example optimizer.lr=1e-3")
    *parents, last = key.split(".")
    target = content
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise UsageError(f"the key '{key}' does not exist: '{parent}' is a single value")
    try:
        target[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"the value of '{override}' is not valid YAML: {' '.join(str(error).split())}") from error


def _describe(problem: dict[str, Any]) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        fields = _fields_at(location[:-1])
        near = difflib.get_close_matches(location[-1], fields, n=1, cutoff=0.4)
        hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(sorted(fields))}"
        return f"unknown key '{key}'; {hint}"
    if problem["type"] == "missing":
        return f"the key '{key}' is missing"
    message = problem["msg"][0].lower() + problem["msg"][1:]
    return f"'{key}': {message}, got {problem['input']!r}"


def _fields_at(parents: list[str]) -> list[str]:
    model: type[BaseModel] = Recipe
    for parent in parents:
        annotation = model.model_fields[parent].annotation
        nested = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)]
        if not nested:
            return []
        model = nested[0]
    return list(model.model_fields)
