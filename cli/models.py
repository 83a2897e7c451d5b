"""``bitsr models`` and ``bitsr summary``."""

from typing import Annotated

import typer

from bitsr.cli.console import closing, table
from bitsr.common.errors import UsageError


def register(app: typer.Typer) -> None:
    app.command("models")(models)
    app.command("summary")(summary)


def models(
    pattern: Annotated[
        str | None, typer.Argument(help="Shell pattern of model ids, e.g. 'ebsr*x4'.", show_default="all")
    ] = None,
) -> None:
    """List the models, their parameters and the measured figures of the weights that come with bitsr."""
    from bitsr.training.models import list_models, model_info
    from bitsr.training.weights import read_info, weights_folder

    ids = [name for name in list_models(pattern or "*") if pattern or not name.startswith("test_")]
    if not ids:
        raise UsageError(f"no model id matches '{pattern}'; `bitsr models` lists them all")
    rows = []
    trained = None
    for model_id in ids:
        info = model_info(model_id)
        weights = weights_folder() / f"{model_id}.safetensors"
        figures = read_info(weights).figures if weights.is_file() else {}
        if weights.is_file():
            trained = trained or model_id
        psnr = [f"{figures[name]['psnr']:.2f}" if name in figures else "" for name in ("Set5", "Set14", "B100")]
        rows.append(
            (
                model_id,
                info.paper.partition(";")[0],
                "yes" if weights.is_file() else "",
                f"x{info.scale}",
                str(info.channels),
                *psnr,
            )
        )
    table(
        "PSNR in dB on luminance, measured with the weights that come with bitsr",
        ("model", "source", "weights", "scale", "channels", "Set5", "Set14", "B100"),
        rows,
        left=3,
    )
    closing([], then=f"bitsr summary {trained or ids[0]}")


def summary(
    model: Annotated[str, typer.Argument(help="Model id or weights file.")],
    size: Annotated[str, typer.Option("--input", help="Input as NxCxHxW.")] = "1x3x180x320",
) -> None:
    """Show parameters, bytes and operations of a model, layer by layer."""
