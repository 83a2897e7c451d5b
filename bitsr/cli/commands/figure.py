"""``bitsr figure``."""

from pathlib import Path
from typing import Annotated

import typer

from bitsr.cli.console import closing, table
from bitsr.cli.options import example
from bitsr.common.errors import UsageError
from bitsr.common.extras import needs
from bitsr.common.files import check_writable

figures = typer.Typer(help="Draw figures for papers and pages.", rich_markup_mode=None, no_args_is_help=True)


def register(app: typer.Typer) -> None:
    figures.command(
        "crops",
        short_help="A detail of a photo by several networks.",
        epilog=example(
            "bitsr figure crops photo.png -m '1-bit=build/x4/ebsr_light_plus_x4.tflite' "
            "-m 'float=build/float/float_light_x4.tflite' --corner 120,80 -o crops.png"
        ),
    )(crops)
    app.add_typer(figures, name="figure", short_help="Draw figures for papers and pages.")


def crops(
    photo: Annotated[Path, typer.Argument(help="A photo; it is reduced, enlarged and compared.")],
    model: Annotated[list[str], typer.Option("--model", "-m", help="TITLE=ARTIFACT; may be repeated.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The figure, a PNG.")],
    corner: Annotated[
        str | None,
        typer.Option(help="X,Y of the detail's upper left corner.", show_default="where the networks differ most"),
    ] = None,
    zoom: Annotated[int, typer.Option(min=1, max=8, help="Pixels of the figure for each of the photo's.")] = 2,
    threads: Annotated[int, typer.Option("--threads", "-j", min=1, help="Of the artifacts, which are timed.")] = 1,
) -> None:
    """Show a detail of a photo by bicubic interpolation, by artifacts, and as it is, with PSNR, bytes and times.

    The photo is reduced first. The artifacts are timed in turns, medians are printed.
    """
    check_writable(output)
    artifacts = dict(_titled(item) for item in model)
    where = None if corner is None else _corner(corner)
    with needs("report", purpose="`bitsr figure`"):
        from bitsr.common.pictures import write_image
        from bitsr.validation.figures.crops import crops as draw

    image, methods = draw(photo, artifacts, corner=where, zoom=zoom, threads=threads)
    write_image(output, image)
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
