"""``bitsr demo``."""

from pathlib import Path
from typing import Annotated

import typer

from bitsr.cli.console import closing, note, table
from bitsr.cli.options import needs


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    photo: Annotated[Path, typer.Option("--input", "-i", help="A photo; it is reduced, upscaled and compared.")],
    folder: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results.")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model id or weights file.", show_default="built in")
    ] = None,
    scale: Annotated[int, typer.Option("--scale", "-s", help="Picks the built-in weights.")] = 4,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")] = False,
) -> None:
    """Show the whole chain on a photo: export, upscale through the .pte, compare with bicubic and with PyTorch."""
    from bitsr.inference.open import default_model, find_weights

    with needs("train", "torchmetrics", purpose="`bitsr demo`"):
        from bitsr.validation.demo import run_demo

    weights, model_id = find_weights(model or default_model(scale))
    result = run_demo(photo, weights=weights, model=model_id, folder=folder, overwrite=overwrite, say=note)
    table(
        f"{photo.name} reduced to {result.low_size[0]}x{result.low_size[1]} and enlarged by {result.scale}",
        ("", "PSNR, dB"),
        [
            ("bicubic", f"{result.psnr_bicubic:.2f}"),
            (f"{result.model}, PyTorch", f"{result.psnr_eager:.2f}"),
            (f"{result.model}, .pte", f"{result.psnr:.2f}"),
        ],
    )
    parity = result.parity
    pte = result.files["pte"]
    typer.echo(
        f".pte against PyTorch: {parity.psnr:.1f} dB, {100 * parity.differing:.3f} % of the pixels differ, "
        f"by at most {parity.largest} of 255"
    )
    typer.echo(f".pte: {result.time.median:.0f} ms for the picture, median of {len(result.time.samples)} runs")
    typer.echo(f"size: {pte.stat().st_size:,} bytes, float32 weights {result.exported.latent_bytes:,} bytes")
    closing(list(result.files.values()), then=f"bitsr upscale -i {photo} -o {photo.stem}_x{result.scale}.png -m {pte}")
