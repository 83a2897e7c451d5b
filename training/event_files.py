"""TensorBoard's event files without TensorFlow."""

import sys
from pathlib import Path
from types import ModuleType

from lightning.fabric.loggers.tensorboard import TensorBoardLogger


def event_logger(folder: Path) -> TensorBoardLogger:
    """A logger that writes to ``folder/tensorboard``.

    TensorBoard takes TensorFlow's file system wherever TensorFlow is installed, which costs six seconds and
    messages on the screen. A module of this name is TensorBoard's own way to say that its stub will do.
    """
    name = "tensorboard.compat.notf"
    sys.modules.setdefault(name, ModuleType(name))
    return TensorBoardLogger(folder, name="", version="tensorboard")
