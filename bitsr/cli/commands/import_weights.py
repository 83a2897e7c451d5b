"""``bitsr import``."""

from pathlib import Path
from typing import Annotated

from bitsr.cli.arguments import Argument, Commands, Option
from bitsr.cli.console import closing, note
from bitsr.cli.options import example
from bitsr.common.extras import needs


def register(app: Commands) -> None:
    app.add(
        "import",
        import_weights,
        short_help="Make a weights file of a checkpoint of others.",
        epilog=example("bitsr import BBCUMx4.pth bbcu_m_x4.safetensors"),
    )


def import_weights(
    source: Annotated[Path, Argument(help="Checkpoint: .pth, .pt, .ckpt, .safetensors, a training's last.pt.")],
    target: Annotated[Path, Argument(help="The weights file to write, .safetensors.")],
    model: Annotated[
        str | None, Option(help="Model id.", show_default="from the names and shapes of the tensors")
    ] = None,
    key: Annotated[
        str | None, Option(help="Where in the file the tensors are, such as params_ema.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Make a weights file of a checkpoint: of the code of BBCU, E2FIF, ReActNet or BI-DiffSR, or with names of ours.

    Tensors alone are read; no code in the file is run.
    """
    with needs("train", purpose="Importing weights"):
        from bitsr.training.weights.importing import import_weights as rewrite

        result = rewrite(source, target, model=model, key=key, overwrite=overwrite)
    note(f"{result.tensors} tensors with the names of {result.layout} are weights of '{result.model}'")
    closing([target], then=["bitsr", "export", target, "-o", f"build/{result.model}"])
