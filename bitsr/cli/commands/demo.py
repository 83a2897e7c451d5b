"""``bitsr demo``."""

from pathlib import Path
from typing import Annotated

from bitsr.cli.arguments import Commands, Option
from bitsr.cli.console import closing, line, table
from bitsr.cli.options import example
from bitsr.common.extras import needs


def register(app: Commands) -> None:
    app.add(
        "demo",
        demo,
        short_help="Show the whole chain on a photo.",
        epilog=example("bitsr demo -i photo.jpg -o build/demo"),
    )


def demo(
    photo: Annotated[Path, Option("--input", "-i", help="A photo; it is reduced, upscaled and compared.")],
    folder: Annotated[Path, Option("--output", "-o", help="Folder of the results.")],
    model: Annotated[
        str | None, Option("--model", "-m", help="Model id or weights file.", show_default="built in")
    ] = None,
    scale: Annotated[int, Option("--scale", "-s", help="Picks the built-in weights.")] = 4,
    formats: Annotated[str, Option("--format", "-f", help="Artifacts, separated by commas.")] = "pte,tflite",
    overwrite: Annotated[bool, Option("--overwrite", help="Replace results that exist.")] = False,
) -> None:
    """Show the whole chain on a photo: export, upscale in both runtimes, compare with bicubic and with PyTorch."""
    from bitsr.inference.load import default_model, find_weights

    with needs("report", purpose="`bitsr demo`"):
        from bitsr.validation.demo.run import RUNTIMES, run_demo

    weights, model_id = find_weights(model or default_model(scale))
    chosen = tuple(dict.fromkeys(item.strip() for item in formats.split(",")))
    result = run_demo(photo, weights=weights, model=model_id, folder=folder, formats=chosen, overwrite=overwrite)
    rows = [("bicubic", f"{result.psnr_bicubic:.2f}", "", "", "", "", "")]
    rows += [("PyTorch", f"{result.psnr_eager:.2f}", "", "", "", "", f"{result.latent_bytes:,}")]
    for item, artifact in result.artifacts.items():
        parity = artifact.parity
        rows.append(
            (
                f".{item} in {RUNTIMES[item]}",
                f"{artifact.psnr:.2f}",
                f"{parity.psnr:.1f}",
                f"{100 * parity.differing:.3f} %",
                str(parity.largest),
                f"{artifact.time.median:.0f}",
                f"{artifact.exported.path.stat().st_size:,}",
            )
        )
    table(
        f"{photo.name} reduced to {'x'.join(map(str, result.low_size))} and enlarged by {result.scale}, {result.model}",
        ("", "PSNR, dB", "against PyTorch, dB", "pixels differ", "by at most, of 255", "ms", "bytes"),
        rows,
    )
    first = next(iter(result.artifacts))
    if result.between is not None:
        parity = result.between
        line(
            f"the two artifacts against each other: {parity.psnr:.1f} dB, {100 * parity.differing:.3f} % of the "
            f"pixels differ, by at most {parity.largest} of 255"
        )
    closing(
        list(result.files.values()),
        then=["bitsr", "upscale", "-i", photo, "-o", f"{photo.stem}_x{result.scale}.png", "-m", result.files[first]],
    )
