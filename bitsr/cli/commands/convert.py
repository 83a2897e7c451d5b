"""``bitsr convert``."""

from pathlib import Path
from typing import Annotated

from bitsr.cli.arguments import Argument, Commands, Option
from bitsr.cli.console import closing, note, table
from bitsr.cli.options import example
from bitsr.common.extras import needs
from bitsr.runtime import TFLITE_LIBRARY, find_library


def register(app: Commands) -> None:
    app.add(
        "convert",
        convert,
        short_help="Rewrite binary layers of another .tflite.",
        epilog=example("bitsr convert net.tflite net_bitsr.tflite"),
    )


def convert(
    source: Annotated[Path, Argument(help="Float .tflite with signs before layers of binary weights.")],
    target: Annotated[Path, Argument(help="The .tflite to write.")],
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Rewrite the binary layers of a .tflite that someone else converted to our op."""
    with needs("export", purpose="Converting a .tflite"):
        from bitsr.export.tflite.convert_file import convert as rewrite_file

        result = rewrite_file(source, target, overwrite=overwrite)
    rows = [(name, "bitsr kernels", "") for name in result.rewritten.replaced]
    rows += [(name, "LiteRT", reason) for name, reason in result.rewritten.refused.items()]
    table("layers after a sign", ("output", "place", "why not in our kernels"), rows, left=3)
    note(f"size: {result.bytes_before:,} bytes -> {len(result.rewritten.content):,} bytes")
    note(f"compared with the original: {result.verification}")
    if result.shape:
        number, height, width, channels = result.shape
        closing([target], then=["bitsr-run", target, "--shape", f"{number},{channels},{height},{width}"])
        return
    closing([target])
    note(
        "bitsr-run takes networks from one map to one map; this one runs in LiteRT: "
        f"Interpreter('{target}', experimental_delegates=[load_delegate('{find_library(TFLITE_LIBRARY)}')])"
    )
