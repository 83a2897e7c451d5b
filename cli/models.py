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
    model: Annotated[str, typer.Argument(help="Model id.")],
    size: Annotated[str, typer.Option("--input", help="Input as NxCxHxW.")] = "1x3x180x320",
) -> None:
    """Show parameters, bytes and multiply-accumulates of a model, layer by layer."""
    from bitsr.training.models import model_info
    from bitsr.validation.cost import model_cost

    try:
        batch, channels, height, width = (int(part) for part in size.split("x"))
    except ValueError:
        raise UsageError(f"'{size}' is no size; expected NxCxHxW, e.g. 1x3x180x320") from None
    if min(batch, height, width) < 1 or channels != 3:
        raise UsageError(f"'{size}' is no picture's size; expected positive sides and 3 channels, e.g. 1x3x180x320")
    info = model_info(model)
    layers = model_cost(model, size=(batch, channels, height, width))
    table(
        f"{model} at {size}: multiply-accumulates (MACs) in millions",
        ("layer", "kind", "output", "parameters", "bytes", "float MACs", "binary MACs"),
        [
            (
                layer.name,
                layer.kind,
                "x".join(map(str, layer.output)),
                f"{layer.parameters:,}",
                f"{layer.bytes:,}",
                f"{layer.macs / 1e6:,.1f}",
                f"{layer.binary_macs / 1e6:,.1f}",
            )
            for layer in layers
        ],
        left=3,
    )
    float_macs, binary_macs = sum(layer.macs for layer in layers), sum(layer.binary_macs for layer in layers)
    parameters, stored = sum(layer.parameters for layer in layers), sum(layer.bytes for layer in layers)
    lines = (
        f"parameters:    {parameters:,}, {stored:,} bytes with 1-bit weights, {4 * parameters:,} in float32",
        f"binary share:  {100 * binary_macs / max(1, binary_macs + float_macs):.1f} % of the MACs",
        f"OPs:           {(float_macs + binary_macs / 64) / 1e9:.2f} G (float MACs + binary MACs / 64)",
        f"looks around:  {info.receptive_field_radius} pixels of the input"
        + (", and at means over all of it" if info.global_pooling else ""),
    )
    for line in lines:
        typer.echo(line)
    closing([], then=f"bitsr export {model} -o build/{model}")
