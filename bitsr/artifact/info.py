"""The sidecar of an artefact: what a runtime must know before it runs a model.

``name.json`` lies beside ``name.pte`` and holds the SHA-256 of the artefact, so that the two can not be mixed up. A
``name.tflite`` has the same text inside; its SHA-256 is the one of the file with zeros in the digest's place.
A model never runs with a wrong scale or value range: both come from here.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bitsr.common.errors import ArtifactError
from bitsr.common.files import atomic_write

FORMAT: Literal["bitsr-artifact"] = "bitsr-artifact"
FORMAT_VERSION: Literal[1] = 1
# Version of the ops' meaning (ARCHITECTURE.md, "Ops"); a change of their maths raises it.
OPS_VERSION: Literal[1] = 1
# Order of the dimensions of input and output, by kind.
LAYOUTS = {"pte": "NCHW", "tflite": "NHWC"}
# Whose versions an artefact names, by its kind.
PACKAGES = {"pte": ("bitsr", "torch", "executorch"), "tflite": ("bitsr", "torch", "onnx2tf", "tensorflow")}

_NO_DIGEST = "0" * 64
_SIZE_DIGITS = 16

Positive = Annotated[int, Field(ge=1)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SizeRules(_Strict):
    """Sizes of an input picture that the artefact takes: sides in pixels, ``max_pixels`` bounds H * W."""

    min_side: Positive
    max_pixels: Positive
    multiple: Positive

    @property
    def only_side(self) -> int | None:
        """Side of the square that is the only input, ``None`` where there is a choice."""
        only = self.min_side == self.multiple and self.max_pixels == self.min_side**2
        return self.min_side if only else None

    def square(self, *, most: int) -> int:
        """Side of the largest square input not above ``most``, or of the least one where that is larger."""
        largest = min(most, math.isqrt(self.max_pixels))
        return max(largest - largest % self.multiple, self.min_side)

    def check(self, *, height: int, width: int) -> None:
        """Raise :class:`ArtifactError` for a size that the artefact does not take."""
        if min(height, width) < self.min_side:
            raise ArtifactError(
                f"the input is {width} x {height} pixels, the model takes sides of at least {self.min_side}; pad it"
            )
        if height * width > self.max_pixels:
            raise ArtifactError(
                f"the input is {width} x {height} pixels, the model takes at most {self.max_pixels} in all; "
                "use tiles, or export with a larger pixel budget"
            )
        if height % self.multiple or width % self.multiple:
            raise ArtifactError(
                f"the input is {width} x {height} pixels, the model takes multiples of {self.multiple}; pad it"
            )


class DiffusionFacts(_Strict):
    """Of a step network: it predicts the noise in x_t, beta is linear in t.

    Its inputs are a map of the bicubically enlarged picture and x_t (6 channels) and the timestep, int64 (1,).
    """

    timesteps: Annotated[int, Field(ge=1, le=100_000)]
    beta_start: Annotated[float, Field(gt=0, lt=1)]
    beta_end: Annotated[float, Field(gt=0, lt=1)]


class ArtifactInfo(_Strict):
    """Everything that a sidecar says. ``figures`` are measured: ``{set: {"psnr": dB, ...}}``, empty where unknown.

    With ``diffusion`` the artefact is one step of a sampling; ``sizes`` are those of the low-resolution picture, as
    for every artefact, and its map has ``scale`` times their sides.
    """

    format: Literal["bitsr-artifact"] = FORMAT
    format_version: Literal[1] = FORMAT_VERSION
    kind: Literal["pte", "tflite"]
    model: str
    scale: Positive
    in_channels: Positive
    out_channels: Positive
    value_range: tuple[float, float] = (0.0, 1.0)
    channel_order: Literal["RGB", "any"] = "RGB"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    dtype: Literal["float32"] = "float32"
    sizes: SizeRules
    receptive_field_radius: Annotated[int, Field(ge=0)]
    global_pooling: bool
    diffusion: DiffusionFacts | None = None
    recipe: str = ""
    training_steps: Annotated[int, Field(ge=0)] = 0
    training_data: list[str] = []
    figures: dict[str, dict[str, float]] = {}
    weights_sha256: Digest
    ops_version: Literal[1] = OPS_VERSION
    blob_version: Positive
    versions: dict[str, str]
    artifact_bytes: Positive
    artifact_sha256: Digest

    @model_validator(mode="after")
    def _range_is_a_range(self) -> "ArtifactInfo":
        low, high = self.value_range
        if not low < high:
            raise ValueError(f"value_range is [{low}, {high}], expected the lower limit first")
        return self

    @model_validator(mode="before")
    @classmethod
    def _lists_are_tuples(cls, data: Any) -> Any:
        # JSON has no tuples; strict validation would refuse its list.
        if isinstance(data, dict) and isinstance(data.get("value_range"), list):
            return {**data, "value_range": tuple(data["value_range"])}
        return data


def sidecar_path(artifact: Path | str) -> Path:
    """``name.json`` beside ``name.pte``."""
    return Path(artifact).with_suffix(".json")


def write_artifact(path: Path, content: bytes, **facts: Any) -> ArtifactInfo:
    """Write an artefact and its sidecar, each atomically; ``facts`` are the fields of :class:`ArtifactInfo`.

    The artefact comes first: if the sidecar can not be written, an old one no longer matches and is refused.
    """
    if facts["kind"] == "tflite":
        return _write_embedded(path, content, facts)
    info = ArtifactInfo(**facts, artifact_bytes=len(content), artifact_sha256=hashlib.sha256(content).hexdigest())
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    with atomic_write(sidecar_path(path)) as temporary:
        temporary.write_text(info.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")
    return info


def _write_embedded(path: Path, content: bytes, facts: dict[str, Any]) -> ArtifactInfo:
    from bitsr.artifact.flatbuffer import finish

    # Size and digest are known last; the text keeps its length, so that only its own bytes change.
    draft = ArtifactInfo(**facts, artifact_bytes=1, artifact_sha256=_NO_DIGEST).model_dump_json(exclude_none=True)
    draft = draft.ljust(len(draft) + _SIZE_DIGITS)
    drafted = finish(content, metadata=draft)
    sized = ArtifactInfo(**facts, artifact_bytes=len(drafted), artifact_sha256=_NO_DIGEST)
    text = sized.model_dump_json(exclude_none=True).ljust(len(draft))
    finished = drafted.replace(draft.encode(), text.encode(), 1)
    digest = hashlib.sha256(finished).hexdigest()
    with atomic_write(path) as temporary:
        temporary.write_bytes(finished.replace(text.encode(), text.replace(_NO_DIGEST, digest).encode(), 1))
    return sized.model_copy(update={"artifact_sha256": digest})


def read_artifact(path: Path | str) -> ArtifactInfo:
    """Read and check the sidecar of an artefact (or the metadata in it), and the artefact against it.

    Raises:
        ArtifactError: the artefact or its sidecar is missing, broken, newer than this bitsr, or they do not belong
            together.
    """
    path = Path(path)
    if not path.is_file():
        raise ArtifactError(f"there is no artefact {path}; write one with: bitsr export")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}; check its permissions") from error
    embedded = path.suffix == ".tflite"
    info = _read_embedded(content, path) if embedded else read_sidecar(sidecar_path(path))
    if len(content) != info.artifact_bytes:
        raise ArtifactError(
            f"{path} is truncated or of another export: expected {info.artifact_bytes} bytes, got {len(content)}; "
            "export the model again"
        )
    if embedded:
        content = content.replace(info.artifact_sha256.encode(), _NO_DIGEST.encode(), 1)
    digest = hashlib.sha256(content).hexdigest()
    if digest != info.artifact_sha256:
        raise ArtifactError(
            f"{path} is corrupt or does not belong to {sidecar_path(path).name}: expected SHA-256 "
            f"{info.artifact_sha256[:12]}..., got {digest[:12]}...; export the model again"
        )
    if f".{info.kind}" != path.suffix:
        raise ArtifactError(f"{path} has a sidecar of a .{info.kind} artefact; export the model again")
    if info.layout != LAYOUTS[info.kind]:
        raise ArtifactError(
            f"{path} has the wrong layout in its sidecar: expected {LAYOUTS[info.kind]}, got {info.layout}; "
            "export the model again"
        )
    return info


def _read_embedded(content: bytes, path: Path) -> ArtifactInfo:
    from bitsr.artifact.flatbuffer import read_metadata

    text = read_metadata(content, name=str(path))
    if text is None:
        raise ArtifactError(f"{path} has no metadata of bitsr; export the model with: bitsr export --to tflite")
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ArtifactError(f"the metadata in {path} is corrupt ({error}); export the model again") from error
    return parse_info(data, source=str(path))


def read_sidecar(path: Path) -> ArtifactInfo:
    """Parse and check a sidecar alone; errors as :func:`read_artifact`."""
    if not path.is_file():
        raise ArtifactError(f"the sidecar {path} is missing; keep it beside the artefact, or export the model again")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtifactError(f"cannot read the sidecar {path}: {error}; export the model again") from error
    return parse_info(data, source=str(path))


def parse_info(data: Any, *, source: str) -> ArtifactInfo:
    """Check the fields of a sidecar, or of metadata that is embedded in an artefact; ``source`` names it in errors."""
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        raise ArtifactError(f"{source} is no bitsr sidecar: expected format '{FORMAT}', got {found!r}")
    for field, known in (("format_version", FORMAT_VERSION), ("ops_version", OPS_VERSION)):
        version = data.get(field)
        if isinstance(version, int) and version > known:
            raise ArtifactError(f"{source} has {field} {version}, this bitsr reads {known}; update bitsr")
    try:
        return ArtifactInfo.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "content"
        raise ArtifactError(
            f"the sidecar {source} is not valid: {field}: {first['msg']}, got {first.get('input')!r}; "
            "export the model again"
        ) from error
