"""``bitsr evaluate``."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from bitsr.cli.arguments import Argument, Commands, Option
from bitsr.cli.console import closing, table
from bitsr.cli.options import Runtime, example
from bitsr.common.errors import UsageError
from bitsr.common.extras import needs
from bitsr.common.files import check_writable

if TYPE_CHECKING:
    import torch

    from bitsr.inference.session_info import Sampling
    from bitsr.training.evaluate import Perceptual
    from bitsr.training.figures_table import ModelFigures

ARTIFACTS = (".pte", ".tflite")


def register(app: Commands) -> None:
    app.add(
        "evaluate",
        evaluate,
        short_help="Measure PSNR, SSIM and LPIPS on folders of pictures.",
        epilog=example(
            "bitsr evaluate ebsr_light_plus_x4 --images data/Set5",
            "bitsr evaluate ebsr_light_plus_x4 x4.tflite --images data/Set5 --images data/Set14 -o table.md",
        ),
    )


def evaluate(
    models: Annotated[list[str], Argument(help="Model ids, weights files, .pte or .tflite.")],
    folders: Annotated[list[Path], Option("--images", help="Folder of original pictures; may be repeated.")],
    runtime: Annotated[Runtime | None, Option(help="What runs the network.", show_default="PyTorch")] = None,
    scale: Annotated[int | None, Option(help="Check that the models have this scale.")] = None,
    device: Annotated[str, Option(help="PyTorch's device of the training form, as in cuda.")] = "cpu",
    output: Annotated[Path | None, Option("--output", "-o", help="Write the figures as .json, .md or .csv.")] = None,
    lpips: Annotated[bool, Option("--lpips", help="Measure LPIPS (AlexNet) as well.")] = False,
    steps: Annotated[int | None, Option(min=1, help="Sampling steps of diffusion models.", show_default="50")] = None,
    seed: Annotated[int | None, Option(min=0, help="Of their noise.", show_default="0")] = None,
    jpeg: Annotated[
        list[int] | None, Option(min=1, max=100, help="Also after JPEG of this quality; may be repeated.")
    ] = None,
) -> None:
    """Measure PSNR and SSIM on folders of pictures, by the protocol of the literature, beside bicubic.

    Networks see the tiles that their artifacts see, in PyTorch too.
    """
    if output is not None:
        check_writable(output)
    with needs("train", purpose="evaluation"):
        from bitsr.inference.session_info import Sampling
        from bitsr.training.evaluate import evaluate as measure
        from bitsr.training.figures_table import ModelFigures, check_table_name, write_table

    if output is not None:
        check_table_name(output)
    _check_device(device)
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise UsageError(f"two folders of images have one name ({', '.join(names)}); the table needs a name for each")

    perceptual = _lpips() if lpips else None
    sampling = Sampling.asked(steps=steps, seed=seed)
    results = []
    for model in models:
        network, name, factor, form = _open(model, runtime=runtime, scale=scale, device=device, sampling=sampling)
        at = "cpu" if runtime is not None or model.endswith(ARTIFACTS) else device
        sets = tuple(
            measure(network, folder=folder, scale=factor, device=at, perceptual=perceptual, jpeg_quality=quality)
            for folder in folders
            for quality in (None, *(jpeg or []))
        )
        results.append(ModelFigures(name, form, factor, sets))
        _print(results[-1])
    if output is not None:
        write_table(output, results)
    closing([output] if output else [])


def _lpips() -> "Perceptual":
    from bitsr.training.perceptual import Lpips

    return Lpips()


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"PyTorch cannot compute on '{device}' here: {str(error).splitlines()[0]}") from error


def _open(
    model: str, *, runtime: Runtime | None, scale: int | None, device: str, sampling: "Sampling | None"
) -> tuple["torch.nn.Module | Callable[[torch.Tensor], torch.Tensor]", str, int, str]:
    """The network, its id, its scale, and what runs it."""
    import torch

    from bitsr.inference.load import load, refuse_sampling
    from bitsr.inference.session_info import Sampling
    from bitsr.inference.tiled import upscale_pixels
    from bitsr.training.models.diffusion import DiffusionModel
    from bitsr.training.weights import load_model

    form = "training form in PyTorch"
    if runtime is None and not model.endswith(ARTIFACTS):
        network = load_model(model, scale=scale).to(device).eval()
        if isinstance(network, DiffusionModel):
            chosen = sampling or Sampling()
            return (
                partial(network.upscale, steps=chosen.steps, seed=chosen.seed),
                network.info.id,
                network.info.scale,
                form,
            )
        refuse_sampling(model, sampling)
        return network, network.info.id, network.info.scale, form
    session = load(model, runtime=None if runtime is None else runtime.value, scale=scale, sampling=sampling)

    def run(x: torch.Tensor) -> torch.Tensor:
        # Tiles, because an artifact has a largest size; 8 bit in and out is the protocol, so nothing is lost.
        rgb = (x[0] * 255).round().byte().permute(1, 2, 0).numpy()
        pixels = upscale_pixels(session, rgb, tile_pixels=rgb.shape[0] * rgb.shape[1])
        return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255

    return run, session.info.model, session.info.scale, f"runtime {session.info.runtime}"


def _print(result: "ModelFigures") -> None:
    from bitsr.training.figures_table import has_lpips

    perceptual = has_lpips(result.sets[0])
    table(
        f"{result.model}, {result.form}: luminance, {result.scale} border pixels left out, PSNR in dB",
        (
            *("set", "pictures", "PSNR", "SSIM", "bicubic PSNR", "bicubic SSIM"),
            *(("LPIPS", "bicubic LPIPS") if perceptual else ()),
        ),
        [
            (
                r.folder,
                str(len(r.pictures)),
                f"{r.psnr:.2f}",
                f"{r.ssim:.4f}",
                f"{r.bicubic_psnr:.2f}",
                f"{r.bicubic_ssim:.4f}",
                *((f"{r.lpips:.4f}", f"{r.bicubic_lpips:.4f}") if perceptual else ()),
            )
            for r in result.sets
        ],
    )
