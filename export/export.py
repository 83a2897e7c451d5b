"""From a trained model to artifacts, in numbered steps that end with a check against the deploy form."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from torch import nn

from bitsr.artifact.fields import ProblemError
from bitsr.artifact.formats import FORMATS, sidecar_path
from bitsr.artifact.info import LIMITS, ArtifactFacts, ArtifactInfo, Dtype, SizeRules
from bitsr.artifact.weights import WeightsInfo
from bitsr.common.errors import MissingExtraError, UsageError
from bitsr.common.files import check_folder, make_folder
from bitsr.common.progress import Progress
from bitsr.common.quiet import quiet
from bitsr.common.versions import package_version
from bitsr.export.delegation import DelegationTable, Lowered
from bitsr.export.deploy import FusedBinaryConv2d, deploy_form
from bitsr.export.errors import ExportError
from bitsr.export.inputs import make_inputs
from bitsr.export.loading import find_source, weights_digest
from bitsr.export.memory import bytes_per_pixel
from bitsr.export.one_thread import one_thread
from bitsr.export.verification import Reference, Verification, verify

# Key of the .tflite in stock ops among the files of an export.
STOCK_OPS = "tflite_stock"


@dataclass(frozen=True)
class ExportedFile:
    """One artifact: where it is, what its sidecar says, where its ops run.

    ``arena_bytes`` is what the file plans for an input of ``max_pixels``, without what our kernels hold, 0 for a
    .tflite, which leaves that to the runtime; ``verification`` is ``None`` where the native library is not built, and
    ``not_verified`` then says so.
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


@one_thread()
def export_model(
    model: str | nn.Module,
    *,
    output: Path | str,
    weights: Path | str | None = None,
    formats: tuple[str, ...] = ("pte",),
    max_pixels: int | None = None,
    overwrite: bool = False,
    kernels: bool = True,
    stock_ops: bool = False,
    io: Dtype = "float32",
    name: str | None = None,
    scale: int | None = None,
    in_channels: int = 3,
    progress: Progress | None = None,
) -> ExportResult:
    """Fold, lower, check and write a model: no file is written before all are checked.

    Args:
        model: a model id (with ``weights``, else with the embedded ones) or a module in its train or deploy form,
            from maps (1, ``in_channels``, H, W) to maps.
        output: folder of the artifacts; it is created. The files are called by the model's id or ``name``.
        weights: weights file for a model id.
        formats: names of formats, of :data:`bitsr.artifact.formats.FORMATS`.
        max_pixels: most pixels H * W of one input; memory is planned for them. Rounded down to a square. By default
            :data:`bitsr.export.inputs.DEFAULT_MAX_PIXELS`. Of a diffusion model one step is exported, for
            low-resolution tiles of this size alone, by default those of its ``sizes``.
        overwrite: replace existing artifacts.
        kernels: ``False`` keeps everything off our kernels (float networks only), for comparisons.
        io: type of the artifact's input and output. ``uint8`` takes and gives the levels of pixels, which a network of
            our ops alone can: the same picture without a conversion before and behind.
        stock_ops: write ``NAME_stock.tflite`` as well: the same numbers in stock ops, which runs without our delegate.
        name, scale, in_channels: for a module that is no registered model.
        progress: told of each step before it.

    Raises:
        UsageError: unknown format, contradicting arguments, or an artifact that exists.
        BitsrError: the folder can not be created or written.
        ExportError: the model can not be folded, captured or wholly lowered, or the artifact disagrees with it.
        WeightsError, UnknownNameError: see :func:`bitsr.training.weights.load_model`.
        MissingExtraError: the format's framework is not installed.
    """
    unknown = [item for item in formats if item not in FORMATS]
    if unknown or not formats:
        raise UsageError(f"the export format is '{', '.join(unknown)}'; expected some of: {', '.join(FORMATS)}")
    if stock_ops and "tflite" not in formats:
        raise UsageError(
            f"stock ops are for a file beside a .tflite, the format is '{', '.join(formats)}'; add tflite to it"
        )
    if io not in get_args(Dtype):
        raise UsageError(f"the type of input and output is '{io}'; expected one of: {', '.join(get_args(Dtype))}")
    asked = {"in_channels": (in_channels, LIMITS["channels"]), "max_pixels": (max_pixels, LIMITS["pixels"])}
    for what, (number, most) in asked.items():
        if number is not None and not 1 <= number <= most:
            raise UsageError(f"{what} is {number}, expected 1 to {most}; correct it, or leave it out")
    pixels = io == "uint8"
    if pixels and (stock_ops or not kernels):
        raise UsageError("only our kernels take and give uint8; leave out the stock ops, or the uint8")
    steps = _Steps(progress, total=2 + 3 * (len(formats) + stock_ops))

    steps.next(f"Load {model if isinstance(model, str) else type(model).__name__}")
    source = find_source(model, weights=weights, name=name, scale=scale)
    folder = Path(output)
    paths = {item: folder / f"{source.name}.{item}" for item in formats}
    if stock_ops:
        paths[STOCK_OPS] = folder / f"{source.name}_stock.tflite"
    sidecars = [sidecar_path(path) for path in paths.values() if path.suffix == ".pte"]
    _check_paths(folder, [*paths.values(), *sidecars], overwrite=overwrite)

    steps.next("Fold it into its deploy form")
    deployed = deploy_form(source.module)
    binary_layers = sum(isinstance(layer, FusedBinaryConv2d) for layer in deployed.modules())
    if binary_layers and not kernels:
        raise UsageError(
            f"'{source.name}' has {binary_layers} binary layers, which only run in our kernels; export it with them "
            "(kernels=True), or ask for a .tflite in stock ops (stock_ops=True)"
        )
    latent_bytes = sum(4 * parameter.numel() for parameter in source.module.parameters())
    given = make_inputs(source.module, in_channels=in_channels, max_pixels=max_pixels)

    reference = Reference.of(deployed, given.check_inputs, pixels=pixels)
    if not given.diffusion:
        _check_scale(source.name, source.scale, given.check_inputs[0][0].shape, reference.outputs[0][0].shape)
    height, width = (side // (source.scale if given.diffusion else 1) for side in given.check_inputs[0][0].shape[2:])
    memory = bytes_per_pixel(deployed, given.check_inputs[0], pixels=height * width, largest=given.max_pixels)
    # All are lowered and compared before the first is written, so that one that fails leaves nothing behind.
    checked: dict[str, tuple[Lowered, Verification | None, str]] = {}
    for item, path in paths.items():
        kind = _kind(path)
        ours = kernels and item != STOCK_OPS
        steps.next(f"Lower it to {path.name}")
        lower = _lowering(kind)
        lowered = lower(
            deployed,
            channels=given.channels,
            max_pixels=given.max_pixels,
            ours=ours,
            example_inputs=given.example_inputs,
            pixels=pixels,
        )
        steps.next(f"Compare {path.name} with the deploy form")
        found = verify(
            lowered.content,
            reference,
            kind=kind,
            ours=ours,
            name=path.name,
            framework_ops=lowered.framework_ops,
        )
        checked[item] = (lowered, *found)

    known = source.weights or WeightsInfo(model=source.name)
    described = {}
    for item, (lowered, _, _) in checked.items():
        try:
            described[item] = ArtifactFacts(
                model=source.name,
                scale=source.scale,
                in_channels=given.channels,
                out_channels=int(reference.outputs[0][0].shape[1]),
                channel_order=source.channel_order,
                dtype=io,
                sizes=given.sizes or SizeRules(min_side=lowered.min_side, max_pixels=lowered.max_pixels, multiple=1),
                bytes_per_pixel=memory,
                receptive_field_radius=source.radius,
                global_pooling=source.global_pooling,
                diffusion=given.diffusion,
                recipe=known.recipe,
                training_steps=known.steps,
                training_data=known.data,
                figures=known.figures,
                weights_sha256=weights_digest(source.module.state_dict()),
                blob_version=lowered.blob_version,
                versions={
                    name: package_version(name) or "unknown" for name in FORMATS[_kind(paths[item])].exported_with
                },
            )
        except ProblemError as problem:
            raise ExportError(
                f"metadata can not describe '{source.name}': {problem}; correct the network, nothing was written"
            ) from problem
    make_folder(folder)
    files = {}
    for item, (lowered, verification, not_verified) in checked.items():
        path = paths[item]
        steps.next(f"Write {path}")
        info = FORMATS[_kind(path)].write(lowered.content, path, described[item])
        files[item] = ExportedFile(path, info, lowered.table, lowered.arena_bytes, verification, not_verified)
    return ExportResult(source.name, files, latent_bytes, binary_layers)


def _check_scale(name: str, scale: int, given: Sequence[int], made: Sequence[int]) -> None:
    """Refuse a network whose output is not ``scale`` times its input: pictures would be put together wrongly."""
    wanted = [scale * side for side in given[2:]]
    if list(made[2:]) != wanted:
        raise UsageError(
            f"'{name}' makes {made[-1]}x{made[-2]} of {given[3]}x{given[2]} pixels, but is to be exported as x{scale}, "
            f"which would be {wanted[1]}x{wanted[0]}; name its right scale, or let its maps keep their size"
        )


def _kind(path: Path) -> str:
    return path.suffix.removeprefix(".")


class _Steps:
    def __init__(self, progress: Progress | None, *, total: int) -> None:
        self._progress = progress
        self._total = total
        self._step = 0

    def next(self, text: str) -> None:
        if self._progress is not None:
            self._progress.advance(self._step, self._total, text)
        self._step += 1


def _check_paths(folder: Path, paths: list[Path], *, overwrite: bool) -> None:
    """Refuse before the work is done."""
    check_folder(folder)
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
        package, extra = ("onnx2tf", "export") if kind == "tflite" else ("executorch", "export")
        raise MissingExtraError(error.name or package, extra=extra, purpose=f"Exporting to .{kind}") from error
    return lower
