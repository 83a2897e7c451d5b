"""Python files of users: importing one registers the models and fold rules in it."""

import importlib.util
import sys
from pathlib import Path

from bitsr.common.errors import UsageError

_LOADED: dict[Path, str] = {}


def load_file(path: Path) -> None:
    """Import a Python file under a name of its own, once in a process.

    Raises:
        UsageError: there is no such file, or its import fails.
    """
    file = path.resolve()
    if file in _LOADED:
        return
    if not file.is_file() or file.suffix != ".py":
        raise UsageError(f"{path} is no Python file; name the .py that registers your models")
    name = f"bitsr_loaded_{len(_LOADED)}_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None  # it has a loader for every .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pickles and dataclasses look the module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(f"{path} cannot be imported ({type(error).__name__}: {error}); correct it") from error
    _LOADED[file] = name
