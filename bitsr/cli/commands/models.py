"""``bitsr models``."""

from typing import Annotated

from bitsr.cli.arguments import Argument, Commands, Option
from bitsr.cli.console import closing, table
from bitsr.cli.options import example
from bitsr.common.errors import UsageError

_SETS = ("Set5", "Set14", "B100")


def register(app: Commands) -> None:
    app.add(
        "models",
        models,
        short_help="List trained weights, or all models.",
        epilog=example("bitsr models", "bitsr models 'ebsr*x4'"),
    )


def models(
    pattern: Annotated[
        str | None, Argument(help="Shell pattern of model ids, with weights or not.", show_default=False)
    ] = None,
    everything: Annotated[
        bool, Option("--all", help="Also the models that come without weights, to be trained.")
    ] = False,
) -> None:
    """List the models that come with trained weights, and their PSNR; with --all every model."""
    if pattern is None and not everything:
        _trained()
    else:
        _registered(pattern)


def _trained() -> None:
    from bitsr.artifact.weights import embedded_weights, pretrained_models, read_weights_info

    rows = []
    for model_id in pretrained_models():
        path = embedded_weights(model_id)
        figures = read_weights_info(path).figures
        scale = f"x{model_id.rpartition('_x')[2]}"
        rows.append((model_id, scale, *_psnr(figures), f"{path.stat().st_size:,}"))
    table("trained weights that come with bitsr; PSNR in dB on luminance", ("model", "scale", *_SETS, "bytes"), rows)
    closing([], then=["bitsr", "models", "--all"])


def _registered(pattern: str | None) -> None:
    from bitsr.artifact.weights import embedded_weights, pretrained_models, read_weights_info
    from bitsr.training.models import list_models, model_info

    trained = pretrained_models()
    ids = [name for name in list_models(pattern or "*") if pattern or not name.startswith("test_")]
    if not ids:
        raise UsageError(f"no model id matches '{pattern}'; `bitsr models --all` lists them all")
    rows = []
    for model_id in sorted(ids, key=lambda name: name not in trained):
        info = model_info(model_id)
        has_weights = model_id in trained
        figures = read_weights_info(embedded_weights(model_id)).figures if has_weights else {}
        source = info.paper.partition(";")[0]
        rows.append(
            (model_id, source, "yes" if has_weights else "", f"x{info.scale}", str(info.channels), *_psnr(figures))
        )
    table(
        "models; PSNR in dB on luminance, of the weights that come with bitsr",
        ("model", "source", "weights", "scale", "channels", *_SETS),
        rows,
        left=3,
    )
    closing([], then=["bitsr", "summary", rows[0][0]])


def _psnr(figures: dict[str, dict[str, float]]) -> list[str]:
    return [f"{figures[name]['psnr']:.2f}" if name in figures else "" for name in _SETS]
