"""``bitsr figure``."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from bitsr.cli.arguments import Argument, Commands, Option
from bitsr.cli.console import closing, table
from bitsr.cli.options import example
from bitsr.common.errors import UsageError
from bitsr.common.extras import needs
from bitsr.common.files import check_writable

if TYPE_CHECKING:
    from bitsr.training.models import SuperResolutionModel

log = logging.getLogger(__name__)

Output = Annotated[Path, Option("--output", "-o", help="The figure, .png or .svg.")]
Weights = Annotated[str, Argument(help="Model id with weights, or a weights file.")]
# Of pictures, up to full HD.
_SIZES = ("160x90", "320x180", "480x270", "640x360", "960x540", "1280x720", "1920x1080")


def register(app: Commands) -> None:
    figures = app.add_group("figure", help="Draw figures for papers and pages.")
    figures.add(
        "crops",
        crops,
        short_help="A detail of a photo by several networks.",
        epilog=example(
            "bitsr figure crops photo.png -m '1-bit=build/x4/ebsr_light_plus_x4.tflite' "
            "-m 'float=build/float/float_light_x4.tflite' --corner 120,80 -o crops.png"
        ),
    )
    figures.add(
        "activations",
        activations,
        short_help="Distributions of activations per layer and photo.",
        epilog=example("bitsr figure activations ebsr_light_plus_x4 a.png b.png -o activations.svg"),
    )
    figures.add(
        "attention",
        attention,
        short_help="Gains and attention of a network over a photo.",
        epilog=example("bitsr figure attention ebsr_light_plus_x4 photo.png -o attention.png"),
    )
    figures.add(
        "timesteps",
        timesteps,
        short_help="Thresholds and activations of BI-DiffSR over the timesteps.",
        epilog=example("bitsr figure timesteps runs/bidiffsr_x2/best.safetensors -o timesteps.svg"),
    )
    figures.add(
        "front",
        front,
        short_help="PSNR over milliseconds of several networks.",
        epilog=example(
            "bitsr figure front ebsr_light_plus_tiny_x4 runs/ecbsr_m10c32_x4/best.safetensors --images data/Set5 "
            "-o front.svg"
        ),
    )
    figures.add(
        "memory",
        memory,
        short_help="Memory over the size of the picture, whole and by tiles.",
        epilog=example("bitsr figure memory build/x4/ebsr_light_plus_x4.tflite -o memory.svg"),
    )


def crops(
    photo: Annotated[Path, Argument(help="A photo; it is reduced, enlarged and compared.")],
    model: Annotated[list[str], Option("--model", "-m", help="TITLE=ARTIFACT; may be repeated.")],
    output: Output,
    corner: Annotated[
        str | None,
        Option(help="X,Y of the detail's upper left corner.", show_default="where the networks differ most"),
    ] = None,
    zoom: Annotated[int, Option(min=1, max=8, help="Pixels of the figure for each of the photo's.")] = 2,
    threads: Annotated[int, Option("--threads", "-j", min=1, help="Of the artifacts, which are timed.")] = 1,
) -> None:
    """Show a detail of a photo by bicubic interpolation, by artifacts, and as it is, with PSNR, bytes and times.

    The photo is reduced first. The artifacts are timed in turns, medians are printed.
    """
    check_writable(output)
    artifacts = dict(_titled(item) for item in model)
    where = None if corner is None else _corner(corner)
    with needs("report", purpose="`bitsr figure`"):
        from bitsr.validation.figures.crops import crops as draw
        from bitsr.validation.figures.drawing import check_suffix

    check_suffix(output)
    drawing, methods = draw(photo, artifacts, corner=where, zoom=zoom, threads=threads)
    drawing.write(output)
    table(
        f"{photo.name}, {threads} thread{'s' if threads > 1 else ''}",
        ("", "PSNR, dB", "bytes", "ms"),
        [
            (
                method.title,
                f"{method.psnr:.2f}",
                "" if method.bytes is None else f"{method.bytes:,}",
                "" if method.time is None else f"{method.time.median:.1f}",
            )
            for method in methods
        ],
    )
    closing([output])


def activations(
    model: Weights,
    photos: Annotated[list[Path], Argument(help="Photos; each is reduced by the model's scale.")],
    output: Output,
) -> None:
    """Show what each binary layer is given, as boxes for each photo: median, middle half, 1 to 99 percent."""
    network = _network(model, output)
    from bitsr.validation.figures.activations import draw_activations, spreads

    found = spreads(network, photos)
    draw_activations(found, title=f"Activations of {network.name}").write(output)
    table(
        f"what the binary layers of {network.name} are given",
        ("layer", "photo", "1 %", "median", "99 %", "bits +1"),
        [
            (spread.layer, spread.picture, *(f"{spread.quantiles[i]:.3g}" for i in (0, 2, -1)), f"{spread.ones:.1%}")
            for spread in found
        ],
        left=2,
    )
    closing([output])


def attention(
    model: Weights,
    photo: Annotated[Path, Argument(help="A photo; it is reduced by the model's scale.")],
    output: Output,
) -> None:
    """Show the gains of spatial and channel gates over a photo, and how much window attention looks at each pixel."""
    network = _network(model, output)
    from bitsr.validation.figures.attention import draw_attention, gain_maps

    draw_attention(gain_maps(network, photo), title=f"Gains of {network.name} over {photo.name}").write(output)
    closing([output])


def timesteps(model: Weights, output: Output) -> None:
    """Show the thresholds (TaR) and activations (TaA) of BI-DiffSR over the timesteps, a line for each binary layer."""
    network = _network(model, output)
    from bitsr.validation.figures.timesteps import draw_timesteps, timestep_tables

    tables, starts = timestep_tables(network)
    draw_timesteps(tables, starts, title=network.name).write(output)
    closing([output])


def front(
    models: Annotated[list[str], Argument(help="Model ids with weights, or weights files, of one scale.")],
    images: Annotated[list[Path], Option(help="Folder of original pictures; may be repeated.")],
    output: Output,
    rounds: Annotated[int, Option(min=1, help="Timed rounds, in each of which every network runs once.")] = 15,
) -> None:
    """Show the PSNR of networks over their time: 1-bit ones in our kernels, others in LiteRT in float32 and int8.

    All run on one thread of this machine, in turns; what is measured is what the artifacts compute. Int8 is calibrated
    with two crops of each picture of the first folder.
    """
    check_writable(output)
    with needs("report", purpose="`bitsr figure`"):
        from bitsr.validation.figures.drawing import check_suffix
    check_suffix(output)
    with needs("export", purpose="`bitsr figure front`"):
        from bitsr.validation.figures.front import draw_front
        from bitsr.validation.figures.front import front as measure
    from bitsr.common.pictures import list_pictures
    from bitsr.training.weights import load_model
    from bitsr.validation.bench.networks import calibration_pictures

    for folder in images:
        list_pictures(folder)  # a missing one is said before minutes are spent
    points = measure(
        [load_model(model) for model in models],
        images,
        calibration=calibration_pictures(list_pictures(images[0])),
        rounds=rounds,
        progress=log.info,
    )
    draw_front(points, title="Quality over time", set_name=images[0].name).write(output)
    table(
        "one thread, 128x128 pixels in, medians of runs in turns",
        ("network", "in", *(f"{folder.name}, dB" for folder in images), "ms", "processor ms", "bytes"),
        [
            (
                point.network,
                point.kind,
                *(f"{value:.2f}" for value in point.psnr),
                f"{point.time.median:.1f}",
                f"{point.time.processor_median:.1f}",
                f"{point.bytes:,}",
            )
            for point in sorted(points, key=lambda point: point.time.median)
        ],
        left=2,
    )
    closing([output])


def memory(
    artifact: Annotated[Path, Argument(help="A .tflite or .pte that the core runs.")],
    output: Output,
    size: Annotated[
        list[str] | None,
        Option(help="WxH of a picture; may be repeated.", show_default="160x90 to 1920x1080"),
    ] = None,
    whole_pixels: Annotated[int, Option(min=1, help="Most pixels of one call without tiles.")] = 1 << 18,
) -> None:
    """Show the memory of processes that enlarge pictures, by one call of the network and tile by tile."""
    check_writable(output)
    sizes = [_size(text) for text in size or _SIZES]
    with needs("report", purpose="`bitsr figure`"):
        from bitsr.validation.figures.drawing import check_suffix
        from bitsr.validation.figures.memory import draw_memory, measure_memory

    check_suffix(output)
    points = measure_memory(artifact, sizes, whole_pixels=whole_pixels)
    draw_memory(points, title=f"Memory of {artifact.stem}").write(output)
    table(
        f"{artifact.name}, one thread: peak memory of the process",
        ("", "pixels", "MiB"),
        [(point.way, f"{point.width} x {point.height}", f"{point.bytes / 2**20:.0f}") for point in points],
        left=2,
    )
    closing([output])


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"the size is '{text}'; expected WIDTHxHEIGHT, as in 1920x1080")
    return int(width), int(height)


def _network(model: str, output: Path) -> "SuperResolutionModel":
    """The network of a figure; a figure that can not be written is refused first."""
    check_writable(output)
    with needs("report", purpose="`bitsr figure`"):
        from bitsr.training.weights import load_model
        from bitsr.validation.figures.drawing import check_suffix

    check_suffix(output)
    return load_model(model)


def _titled(text: str) -> tuple[str, Path]:
    title, sign, path = text.partition("=")
    if not (title and sign and path):
        raise UsageError(f"the model is '{text}'; expected TITLE=ARTIFACT, as in '1-bit=x4.tflite'")
    return title, Path(path)


def _corner(text: str) -> tuple[int, int]:
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
        raise UsageError(f"the corner is '{text}'; expected X,Y in pixels, as in 120,80")
    return int(parts[0]), int(parts[1])
