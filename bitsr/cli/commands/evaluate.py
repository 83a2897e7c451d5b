"""``bitsr evaluate``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from bitsr.cli.console import closing, table
from bitsr.cli.options import Runtime, example
from bitsr.common.extras import needs
from bitsr.common.files import atomic_write, check_writable

ARTIFACTS = (".pte", ".tflite")


def register(app: typer.Typer) -> None:
    app.command(
        "evaluate",
        short_help="Measure PSNR and SSIM on folders of pictures.",
        epilog=example("bitsr evaluate ebsr_light_plus_x4 --images data/Set5"),
    )(evaluate)


def evaluate(
    model: Annotated[str, typer.Argument(help="Model id, weights file, .pte or .tflite.")],
    folders: Annotated[list[Path], typer.Option("--images", help="Folder of original pictures; may be repeated.")],
    runtime: Annotated[Runtime | None, typer.Option(help="What runs the network.", show_default="PyTorch")] = None,
    scale: Annotated[int | None, typer.Option(help="Check that the model has this scale.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the figures as JSON.")] = None,
) -> None:
    """Measure PSNR and SSIM on folders of pictures, by the protocol of the literature, beside bicubic."""
    if output is not None:
        check_writable(output)
    with needs("train", purpose="evaluation"):
        import torch

        from bitsr.training.evaluate import evaluate as measure
    from bitsr.inference.load import load
    from bitsr.inference.tiled import upscale_pixels
    from bitsr.training.weights import load_model

    network: torch.nn.Module | Callable[[torch.Tensor], torch.Tensor]
    if runtime is None and not model.endswith(ARTIFACTS):
        network = load_model(model, scale=scale)
        name, factor, form = network.info.id, network.info.scale, "training form in PyTorch"
    else:
        session = load(model, runtime=None if runtime is None else runtime.value, scale=scale)
        name, factor, form = session.info.model, session.info.scale, f"runtime {session.info.runtime}"

        def network(x: torch.Tensor) -> torch.Tensor:
            # Tiles, because an artifact has a largest size; 8 bit in and out is the protocol, so nothing is lost.
            rgb = (x[0] * 255).round().byte().permute(1, 2, 0).numpy()
            pixels = upscale_pixels(session, rgb, tile_pixels=rgb.shape[0] * rgb.shape[1])
            return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255

    results = [measure(network, folder=folder, scale=factor) for folder in folders]
    rows = [
        (
            r.folder,
            str(len(r.pictures)),
            f"{r.psnr:.2f}",
            f"{r.ssim:.4f}",
            f"{r.bicubic_psnr:.2f}",
            f"{r.bicubic_ssim:.4f}",
        )
        for r in results
    ]
    table(
        f"{name}, {form}: luminance, {factor} border pixels left out, PSNR in dB",
        ("set", "pictures", "PSNR", "SSIM", "bicubic PSNR", "bicubic SSIM"),
        rows,
    )
    if output is not None:
        content = {
            "model": name,
            "form": form,
            "scale": factor,
            "sets": {
                r.folder: {
                    "psnr": r.psnr,
                    "ssim": r.ssim,
                    "bicubic_psnr": r.bicubic_psnr,
                    "bicubic_ssim": r.bicubic_ssim,
                    "pictures": {score.name: {"psnr": score.psnr, "ssim": score.ssim} for score in r.pictures},
                }
                for r in results
            },
        }
        with atomic_write(output) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    closing([output] if output else [])
