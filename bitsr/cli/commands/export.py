"""``bitsr export``."""

from pathlib import Path
from typing import Annotated, cast, get_args

from bitsr.cli.arguments import Argument, Commands, Option
from bitsr.cli.console import closing, note, table
from bitsr.cli.options import example
from bitsr.common.errors import UsageError


def register(app: Commands) -> None:
    app.add(
        "export",
        export,
        short_help="Write the artifacts that run on the phone.",
        epilog=example(
            "bitsr export ebsr_light_plus_x4 -o build/x4 --format pte,tflite",
            "bitsr export ebsr_light_plus_x4 -o app/src/main/assets --android",
        ),
    )


class _Lines:
    """A line for each step."""

    def advance(self, done: float, total: float, text: str = "") -> None:
        note(f"[{done + 1:g}/{total:g}] {text}")


def export(
    model: Annotated[str, Argument(help="Model id, or weights file.")],
    folder: Annotated[Path, Option("--output", "-o", help="Folder of the artifacts.")],
    formats: Annotated[
        str | None,
        Option(
            "--format",
            "-f",
            help="Formats, separated by commas: pte, tflite.",
            show_default="pte; an app gets both",
        ),
    ] = None,
    stock_ops: Annotated[
        bool, Option("--stock-ops", help="Beside the .tflite NAME_stock.tflite, which runs without our delegate.")
    ] = False,
    max_pixels: Annotated[
        int | None, Option(min=1024, help="Most input pixels of one call; larger pictures are tiled.")
    ] = None,
    io: Annotated[
        str, Option("--io", help="Type of input and output: float32, or uint8 where all ops are ours.")
    ] = "float32",
    android: Annotated[
        bool,
        Option("--android", help="The folder is an app's assets: models/, and golden inputs in golden/."),
    ] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace artifacts that exist.")] = False,
) -> None:
    """Fold a trained model and write the artifacts that run on the phone."""
    from bitsr.artifact.formats import FORMATS, sidecar_path
    from bitsr.artifact.info import Dtype
    from bitsr.export.export import export_model
    from bitsr.inference.load import find_weights

    if io not in get_args(Dtype):
        raise UsageError(f"the type of input and output is '{io}'; expected one of: {', '.join(get_args(Dtype))}")
    dtype = cast(Dtype, io)
    if android and stock_ops:
        raise UsageError("an app runs our kernels, not stock ops; leave out --android or --stock-ops")
    weights, model_id = find_weights(model)
    if android:
        from bitsr.validation.app_assets import write_app_assets

        result = write_app_assets(
            model_id,
            weights=weights,
            folder=folder,
            formats=tuple(formats.split(",")) if formats else tuple(FORMATS),
            max_pixels=max_pixels,
            overwrite=overwrite,
            io=dtype,
            progress=_Lines(),
        )
    else:
        result = export_model(
            model_id,
            weights=weights,
            output=folder,
            formats=tuple((formats or "pte").split(",")),
            max_pixels=max_pixels,
            overwrite=overwrite,
            stock_ops=stock_ops,
            io=dtype,
            progress=_Lines(),
        )
    for file in result.files.values():
        table(
            f"{file.path.name}: where the ops run",
            ("op", "place", "why not in our kernels", "count"),
            [(row.op, row.place, row.reason, str(row.count)) for row in file.table.rows],
            left=3,
        )
        partitions = ", ".join(f"{count} in {place}" for place, count in file.table.partitions.items())
        size = file.path.stat().st_size
        note(f"partitions: {partitions}")
        note(
            f"size: {result.latent_bytes:,} bytes of float32 weights -> {size:,} bytes, "
            f"{result.latent_bytes / size:.1f} times smaller"
        )
        pixels = file.info.sizes.max_pixels
        bound = max(file.info.bytes_per_pixel * pixels, file.arena_bytes)
        planned = f", {file.arena_bytes / 2**20:.0f} MiB of it planned in the file" if file.arena_bytes else ""
        note(f"working memory: at most {bound / 2**20:.0f} MiB for {pixels} input pixels{planned}")
        if file.verification is None:
            note(f"not compared with the deploy form: {file.not_verified}")
        else:
            note(f"compared with the deploy form: {file.verification}")
    files = [file.path for file in result.files.values()]
    sidecars = [sidecar_path(path) for path in files if path.suffix == ".pte"]
    closing(
        [*files, *sidecars],
        then=["bitsr", "upscale", "-i", "photo.jpg", "-o", "photo_upscaled.png", "-m", files[0]],
    )
