"""From a trained model to artefacts, in numbered steps that end with a check against the deploy form."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bitsr.common.errors import MissingExtraError, UsageError
from bitsr.common.quiet import quiet
from bitsr.common.versions import package_version
from bitsr.export import steps
from bitsr.export.artifact import (
    LAYOUTS,
    PACKAGES,
    ArtifactInfo,
    DiffusionFacts,
    SizeRules,
    sidecar_path,
    weights_digest,
    write_artifact,
)
from bitsr.export.delegation import DelegationTable
from bitsr.export.deploy import FusedBinaryConv2d, fold
from bitsr.export.errors import ExportError
from bitsr.export.lowered import Lowered
from bitsr.export.program import VERSION as BLOB_VERSION
from bitsr.training.models import ModelInfo, SuperResolutionModel
from bitsr.training.models.diffusion import DiffusionModel
from bitsr.training.weights import WeightsInfo, embedded_weights, load_model, read_info

FORMATS = ("pte", "tflite")
# Key of the float twin among the files of an export.
FLOAT_TWIN = "tflite_float"
# 512 x 512: a map of 64 channels takes 64 MiB.
DEFAULT_MAX_PIXELS = 512 * 512
# The artefact's output against the deploy form's, on noise and on a smooth picture, relative to the output's range.
# Another order of float sums flips a few signs near their thresholds; a wrong program is far below.
LEAST_AGREEMENT_DB = 30.0

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Verification:
    """How an artefact compares with the deploy form in PyTorch on the check's inputs: the worst of both.

    ``psnr`` in dB is relative to the range of the reference's values; infinite where nothing differs.
    """

    psnr: float
    largest_difference: float


@dataclass(frozen=True)
class ExportedFile:
    """One artefact: where it is, what its sidecar says, where its ops run.

    ``arena_bytes`` is what the file plans for an input of ``max_pixels``, 0 for a .tflite, which leaves that to the
    runtime; ``verification`` is ``None`` where the native library is not built, and ``not_verified`` then says so.
    """

    path: Path
    info: ArtifactInfo
    table: DelegationTable
    arena_bytes: int
    verification: Verification | None
    not_verified: str = ""


@dataclass(frozen=True)
class ExportResult:
    """All files of one export, and the float32 bytes of the trained weights before it."""

    name: str
    files: dict[str, ExportedFile]
    latent_bytes: int
    binary_layers: int


@dataclass(frozen=True)
class _Source:
    """What is exported: the module and the facts that its sidecar carries."""

    name: str
    module: nn.Module
    scale: int
    radius: int
    global_pooling: bool
    channel_order: str
    weights: WeightsInfo | None


def export_model(
    model: str | nn.Module,
    *,
    output: Path | str,
    weights: Path | str | None = None,
    formats: tuple[str, ...] = ("pte",),
    max_pixels: int | None = None,
    overwrite: bool = False,
    kernels: bool = True,
    float_twin: bool = False,
    name: str | None = None,
    scale: int | None = None,
    in_channels: int = 3,
    progress: Progress | None = None,
) -> ExportResult:
    """Fold, lower, check and write a model.

    Args:
        model: a model id (with ``weights``, else with the embedded ones) or a module in its train or deploy form,
            from maps (1, ``in_channels``, H, W) to maps.
        output: folder of the artefacts; it is created. The files are called by the model's id or ``name``.
        weights: weights file for a model id.
        formats: artefact formats, of :data:`FORMATS`.
        max_pixels: most pixels H * W of one input; memory is planned for them. Rounded down to a square. By default
            :data:`DEFAULT_MAX_PIXELS`. Of a diffusion model one step is exported, for low-resolution tiles of this
            size alone, by default :data:`bitsr.export.steps.DEFAULT_TILE_PIXELS`.
        overwrite: replace existing artefacts.
        kernels: ``False`` keeps everything off our kernels (float networks only): a float twin for comparisons.
        float_twin: write ``NAME_float.tflite`` as well: the same numbers in stock ops, which needs no delegate.
        name, scale, in_channels: for a module that is no registered model.
        progress: called with (step, steps, text) before each step.

    Raises:
        UsageError: unknown format, contradicting arguments, or an artefact that exists.
        ExportError: the model can not be folded, captured or wholly lowered, or the artefact disagrees with it.
        WeightsError, UnknownNameError: see :func:`bitsr.training.weights.load_model`.
        MissingExtraError: the format's framework is not installed.
    """
    unknown = [item for item in formats if item not in FORMATS]
    if unknown or not formats:
        raise UsageError(f"the export format is '{', '.join(unknown)}'; expected some of: {', '.join(FORMATS)}")
    if float_twin and "tflite" not in formats:
        raise UsageError(
            f"a float twin stands beside a .tflite, the format is '{', '.join(formats)}'; add tflite to it"
        )
    say = _Steps(progress, total=2 + 3 * (len(formats) + float_twin))

    say.next(f"Load {model if isinstance(model, str) else type(model).__name__}")
    source = _source(model, weights=weights, name=name, scale=scale)
    folder = Path(output)
    paths = {item: folder / f"{source.name}.{item}" for item in formats}
    if float_twin:
        paths[FLOAT_TWIN] = folder / f"{source.name}_float.tflite"
    sidecars = [sidecar_path(path) for path in paths.values() if path.suffix == ".pte"]
    _check_paths(folder, [*paths.values(), *sidecars], overwrite=overwrite)

    say.next("Fold it into its deploy form")
    deployed = fold(source.module)
    binary_layers = sum(isinstance(layer, FusedBinaryConv2d) for layer in deployed.modules())
    if binary_layers and not kernels:
        raise UsageError(f"'{source.name}' has {binary_layers} binary layers, which only run in our kernels")
    latent_bytes = sum(4 * parameter.numel() for parameter in source.module.parameters())
    plan = _plan(source.module, in_channels=in_channels, max_pixels=max_pixels)

    files = {}
    for item, path in paths.items():
        kind = path.suffix.removeprefix(".")
        ours = kernels and item != FLOAT_TWIN
        say.next(f"Lower it to {path.name}")
        lower = _lowering(kind)
        lowered = lower(deployed, channels=plan.channels, max_pixels=plan.max_pixels, ours=ours, fixed=plan.fixed)
        with torch.no_grad():
            probe = deployed(*plan.checks[0])
        say.next(f"Compare {path.name} with the deploy form")
        verification, not_verified = _verify(
            lowered.content, deployed, kind=kind, ours=ours, checks=plan.checks, name=path.name
        )
        say.next(f"Write {path}")
        known = source.weights or WeightsInfo(model=source.name)
        info = write_artifact(
            path,
            lowered.content,
            kind=kind,
            model=source.name,
            scale=source.scale,
            in_channels=plan.channels,
            out_channels=int(probe.shape[1]),
            channel_order=source.channel_order,
            layout=LAYOUTS[kind],
            sizes=plan.sizes or SizeRules(min_side=1, max_pixels=lowered.max_pixels, multiple=1),
            receptive_field_radius=source.radius,
            global_pooling=source.global_pooling,
            diffusion=plan.diffusion,
            recipe=known.recipe,
            training_steps=known.steps,
            training_data=known.data,
            figures=known.figures,
            weights_sha256=weights_digest(source.module.state_dict()),
            blob_version=BLOB_VERSION,
            versions={package: package_version(package) or "unknown" for package in PACKAGES[kind]},
        )
        files[item] = ExportedFile(path, info, lowered.table, lowered.arena_bytes, verification, not_verified)
    return ExportResult(source.name, files, latent_bytes, binary_layers)


@dataclass(frozen=True)
class _Plan:
    """What is lowered and checked: inputs of the comparison, and the sizes where they are not free.

    ``fixed`` are inputs of the only size, ``sizes`` its rules, ``diffusion`` the facts of a step network.
    """

    channels: int
    max_pixels: int
    checks: list[tuple[Tensor, ...]]
    fixed: tuple[Tensor, ...] | None = None
    sizes: SizeRules | None = None
    diffusion: DiffusionFacts | None = None


def _plan(module: nn.Module, *, in_channels: int, max_pixels: int | None) -> _Plan:
    if isinstance(module, SuperResolutionModel) and module.info.tile:
        return _tile_plan(module.info, max_pixels=max_pixels)
    if not isinstance(module, DiffusionModel):
        checks: list[tuple[Tensor, ...]] = [(x,) for x in _check_inputs(in_channels)]
        return _Plan(in_channels, DEFAULT_MAX_PIXELS if max_pixels is None else max_pixels, checks)
    sizes = steps.tile_sizes(module, max_pixels=steps.DEFAULT_TILE_PIXELS if max_pixels is None else max_pixels)
    checks = list(steps.check_inputs(module, sizes))
    return _Plan(steps.CHANNELS, sizes.max_pixels, checks, fixed=checks[0], sizes=sizes, diffusion=steps.facts(module))


def _tile_plan(info: ModelInfo, *, max_pixels: int | None) -> _Plan:
    """Of a network that takes one size alone."""
    side = info.tile
    if max_pixels is not None and max_pixels < side**2:
        raise UsageError(
            f"the pixel budget is {max_pixels}, but '{info.id}' runs on tiles of {side} x {side} = {side**2} pixels; "
            "raise it, or leave it out"
        )
    checks: list[tuple[Tensor, ...]] = [(x,) for x in _check_inputs(3, height=side, width=side)]
    sizes = SizeRules(min_side=side, max_pixels=side**2, multiple=side)
    return _Plan(3, side**2, checks, fixed=checks[0], sizes=sizes)


class _Steps:
    def __init__(self, progress: Progress | None, *, total: int) -> None:
        self._progress = progress
        self._total = total
        self._step = 0

    def next(self, text: str) -> None:
        self._step += 1
        if self._progress is not None:
            self._progress(self._step, self._total, text)


def _source(model: str | nn.Module, *, weights: Path | str | None, name: str | None, scale: int | None) -> _Source:
    if isinstance(model, str):
        loaded: nn.Module = load_model(model if weights is None else weights)
        path = embedded_weights(model) if weights is None else Path(weights)
        known = read_info(path)
        if known.model != model:
            raise UsageError(f"{weights} holds weights of '{known.model}', but '{model}' is to be exported")
    elif weights is not None:
        raise UsageError("weights are for a model id; load them into the module before exporting it")
    else:
        loaded, known = model, None
    if isinstance(loaded, SuperResolutionModel):
        facts: ModelInfo = loaded.info
        if scale is not None and scale != facts.scale:
            raise UsageError(f"'{facts.id}' is a x{facts.scale} model, but scale {scale} was asked for")
        return _Source(
            name or facts.id,
            loaded,
            facts.scale,
            facts.receptive_field_radius,
            facts.global_pooling,
            "RGB",
            known,
        )
    if name is None or scale is None:
        raise UsageError(f"{type(loaded).__name__} is no registered model; give its name and scale")
    return _Source(name, loaded, scale, 0, False, "any", known)


def _check_paths(folder: Path, paths: list[Path], *, overwrite: bool) -> None:
    """Refuse before the work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot create the folder {folder}: {error.strerror or error}; choose another") from error
    for path in paths:
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists; choose another folder, or overwrite it (--overwrite)")


def _lowering(kind: str) -> Callable[..., Lowered]:
    try:
        with quiet():
            if kind == "tflite":
                from bitsr.export.tflite.lower import lower
            else:
                from bitsr.export.executorch.lower import lower
    except ImportError as error:
        package, extra = ("onnx2tf", "tflite") if kind == "tflite" else ("executorch", "executorch")
        raise MissingExtraError(error.name or package, extra=extra, purpose=f"Exporting to .{kind}") from error
    return lower


def _verify(
    content: bytes, deployed: nn.Module, *, kind: str, ours: bool, checks: list[tuple[Tensor, ...]], name: str
) -> tuple[Verification | None, str]:
    """Run the artefact from memory beside the deploy form."""
    from bitsr.runtime import RuntimeLibraryError
    from bitsr.runtime.litert import TfliteNetwork
    from bitsr.runtime.pte import PteNetwork

    network: PteNetwork | TfliteNetwork
    try:
        if kind == "tflite":
            network = TfliteNetwork(content, name=name, delegate=ours, inputs=len(checks[0]))
        else:
            network = PteNetwork(content, name=name, inputs=len(checks[0]))
    except RuntimeLibraryError as error:
        return None, str(error)
    worst, largest = math.inf, 0.0
    for inputs in checks:
        with torch.no_grad():
            reference = deployed(*inputs)
        psnr, difference = agreement(network.run(*inputs), reference)
        worst, largest = min(worst, psnr), max(largest, difference)
    if not worst >= LEAST_AGREEMENT_DB:
        raise ExportError(
            f"{name} does not compute what the deploy form computes: they agree to {worst:.1f} dB, expected at least "
            f"{LEAST_AGREEMENT_DB:.0f}; nothing was written; rebuild the native library with "
            "`make build`, and report it if that does not help"
        )
    return Verification(worst, largest), ""


def _check_inputs(channels: int, *, height: int = 27, width: int = 37) -> Iterator[Tensor]:
    """By default of odd sides that networks are not traced with, within the smallest pixel budget."""
    generator = torch.Generator().manual_seed(0)
    yield torch.rand(1, channels, height, width, generator=generator)
    rows, columns = torch.linspace(0, 6, height)[:, None], torch.linspace(0, 9, width)[None, :]
    waves = [0.5 + 0.5 * torch.sin(rows + 0.5 * c) * torch.cos(columns - 0.3 * c) for c in range(channels)]
    yield torch.stack(waves)[None].contiguous()


def agreement(y: Tensor, reference: Tensor) -> tuple[float, float]:
    """(PSNR relative to the reference's range, largest absolute difference).

    The PSNR is -inf for other shapes, NaN, and where a constant reference is not met.
    """
    if y.shape != reference.shape:
        return -math.inf, math.inf
    difference = (y - reference).double()
    error = difference.square().mean().item()
    if math.isnan(error):
        return -math.inf, math.inf
    largest = difference.abs().max().item()
    if error == 0:
        return math.inf, largest
    span = (reference.max() - reference.min()).double().item()
    return (10 * math.log10(span**2 / error) if span else -math.inf), largest
