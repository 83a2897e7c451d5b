"""``bitsr summary``."""

from typing import Annotated

from bitsr.cli.arguments import Argument, Commands, Option
from bitsr.cli.console import closing, line, table
from bitsr.cli.options import example
from bitsr.common.errors import UsageError

# Beyond, PyTorch cannot state the bytes of a map any more.
_MOST_PIXELS = 10**12


def register(app: Commands) -> None:
    app.add(
        "summary",
        summary,
        short_help="Show parameters and operations, layer by layer.",
        epilog=example("bitsr summary ebsr_light_x4 --size 1x3x128x128"),
    )


def summary(
    model: Annotated[str, Argument(help="Model id.")],
    size: Annotated[str, Option("--size", help="Input as NxCxHxW.")] = "1x3x180x320",
    convention: Annotated[str, Option(help="Whose way to add the operations: ebsr, bbcu or bidiffsr.")] = "bidiffsr",
) -> None:
    """Show parameters, multiply-accumulates, bit operations, stored bytes and memory of a model, layer by layer."""
    from bitsr.training import cost
    from bitsr.training.models import model_info

    try:
        batch, channels, height, width = (int(part) for part in size.split("x"))
    except ValueError:
        raise UsageError(f"'{size}' is no size; expected NxCxHxW, e.g. 1x3x180x320") from None
    if min(batch, height, width) < 1 or channels != 3:
        raise UsageError(f"'{size}' is no picture's size; expected positive sides and 3 channels, e.g. 1x3x180x320")
    if batch * height * width > _MOST_PIXELS:
        raise UsageError(f"'{size}' is too large to be counted; expected at most {_MOST_PIXELS:.0e} pixels")
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
        pooling = f" and further; artifacts take tiles of {info.fixed_size}x{info.fixed_size} that overlap by as much"
    total, counted = way.operations(layers) / 1e9, way.parameters(layers) / 1e6
    lines = (
        f"parameters:    {few:,} weights of few bits, {floats:,} floats",
        f"stored:        {sum(layer.bytes for layer in layers):,} bytes, {4 * (few + floats):,} in float32",
        f"work:          {macs / 1e9:.3f} G float MACs, {bit_macs / 1e9:.3f} G bit-MACs ({share:.1f} % of both)",
        f"total:         {total:.2f} G {way.unit}, {counted:.3f} M parameters ({way.source})",
        f"memory:        {_memory(model, height=height, width=width)}",
        f"looks around:  {info.receptive_field_radius} pixels of the input{pooling}",
    )
    for text in lines:
        line(text)
    closing([], then=["bitsr", "export", model, "-o", f"build/{model}"])


def _memory(model: str, *, height: int, width: int) -> str:
    """What an artifact takes while it runs, or why nobody knows."""
    from bitsr.export.errors import ExportError
    from bitsr.export.memory import artifact_bytes_in_use
    from bitsr.training.models import create_model

    try:
        used = artifact_bytes_in_use(create_model(model), height=height, width=width)
    except ExportError as error:
        return f"not known, because it can not be exported: {error}"
    return (
        f"at most {max(used / 2**20, 1):,.0f} MiB for the maps of an artifact, {height}x{width} pixels or their tiles"
    )


def _low_bit(count: int, bits: int) -> str:
    if not count:
        return ""
    return f"{count:,}" if bits == 1 else f"{count:,} of {bits} bits"
