"""What each extra of the package brings, and the error that names it where something of it is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from bitsr.common.errors import MissingExtraError

_TORCH = ("torch", "yaml", "safetensors")
# By the names that are imported; pyproject.toml has them by the names that are installed.
EXTRAS: dict[str, tuple[str, ...]] = {
    "litert": ("ai_edge_litert", "flatbuffers"),
    "executorch": ("torch", "executorch", "torchao"),
    "export": (
        *_TORCH,
        "executorch",
        "torchao",
        "ai_edge_litert",
        "flatbuffers",
        "onnx",
        "onnx2tf",
        "onnx_graphsurgeon",
        "onnx_ir",
        "onnxruntime",
        "onnxscript",
        "onnxsim",
        "psutil",
        "pydantic",
        "sng4onnx",
        "tensorflow",
        "tf_keras",
    ),
    "train": (*_TORCH, "lightning", "pydantic", "tensorboard", "torchmetrics"),
    "diffusion": (*_TORCH, "diffusers"),
}
EXTRAS["lpips"] = (*EXTRAS["train"], "torchvision")
EXTRAS["report"] = (*EXTRAS["export"], "torchmetrics", "jinja2")


@contextmanager
def needs(extra: str, *, purpose: str) -> Iterator[None]:
    """Name the extra to install where an import fails because a package that it brings is missing.

    Raises:
        MissingExtraError: such an import failed; any other error passes through.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS[extra]:
            raise
        raise MissingExtraError(package, extra=extra, purpose=purpose) from error
