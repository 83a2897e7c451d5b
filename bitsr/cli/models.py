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
    from bitsr.artifact.weights import read_weights_info, weights_folder
    from bitsr.training.models import list_models, model_info

    ids = [name for name in list_models(pattern or "*") if pattern or not name.startswith("test_")]
    if not ids:
        raise UsageError(f"no model id matches '{pattern}'; `bitsr models` lists them all")
    rows = []
    trained = None
    for model_id in ids:
        info = model_info(model_id)
        weights = weights_folder() / f"{model_id}.safetensors"
        figures = read_weights_info(weights).figures if weights.is_file() else {}
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
    closing([], then=["bitsr", "summary", trained or ids[0]])


def summary(
    model: Annotated[str, typer.Argument(help="Model id.")],
    size: Annotated[str, typer.Option("--input", help="Input as NxCxHxW.")] = "1x3x180x320",
    convention: Annotated[
        str, typer.Option(help="Whose way to add the operations: ebsr, bbcu or bidiffsr.")
    ] = "bidiffsr",
) -> None:
    """Show parameters, multiply-accumulates, bit operations and stored bytes of a model, layer by layer."""
    from bitsr.export import cost
    from bitsr.training.models import model_info

    try:
        batch, channels, height, width = (int(part) for part in size.split("x"))
    except ValueError:
        raise UsageError(f"'{size}' is no size; expected NxCxHxW, e.g. 1x3x180x320") from None
    if min(batch, height, width) < 1 or channels != 3:
        raise UsageError(f"'{size}' is no picture's size; expected positive sides and 3 channels, e.g. 1x3x180x320")
    way = cost.convention(convention)
    info = model_info(model)
    layers = cost.model_cost(model, size=(batch, channels, height, width))
    table(
        f"{model} at {size}: multiply-accumulates (MACs) of floats and of bits in millions",
        ("layer", "kind", "output", "low-bit", "float", "MACs", "bit-MACs", "bytes"),
        [
            (
                layer.name,
                layer.kind,
                "x".join(map(str, layer.output)),
                _low_bit(layer.low_bit_weights, layer.weight_bits),
                f"{layer.float_parameters:,}",
                f"{layer.macs / 1e6:,.1f}",
                f"{layer.bit_macs / 1e6:,.1f}",
                f"{layer.bytes:,}",
            )
            for layer in layers
            if layer.bytes or layer.macs or layer.bit_macs
        ],
        left=3,
    )
    macs, bit_macs = sum(layer.macs for layer in layers), sum(layer.bit_macs for layer in layers)
    few, floats = sum(layer.low_bit_weights for layer in layers), sum(layer.float_parameters for layer in layers)
    share = 100 * bit_macs / max(1, macs + bit_macs)
    pooling = ", and at means over all of it" if info.global_pooling else ""
    if info.fixed_size:
        pooling = f" and further; artefacts take tiles of {info.fixed_size}x{info.fixed_size} that overlap by as much"
    total, counted = way.operations(layers) / 1e9, way.parameters(layers) / 1e6
    lines = (
        f"parameters:    {few:,} weights of few bits, {floats:,} floats",
        f"stored:        {sum(layer.bytes for layer in layers):,} bytes, {4 * (few + floats):,} in float32",
        f"work:          {macs / 1e9:.3f} G float MACs, {bit_macs / 1e9:.3f} G bit-MACs ({share:.1f} % of both)",
        f"total:         {total:.2f} G {way.unit}, {counted:.3f} M parameters ({way.source})",
        f"looks around:  {info.receptive_field_radius} pixels of the input{pooling}",
    )
    for line in lines:
        typer.echo(line)
    closing([], then=["bitsr", "export", model, "-o", f"build/{model}"])


def _low_bit(count: int, bits: int) -> str:
    if not count:
        return ""
    return f"{count:,}" if bits == 1 else f"{count:,} of {bits} bits"
