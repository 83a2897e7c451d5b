"""The metadata of an artifact: what a runtime must know before it runs a model.

A model never runs with a wrong scale or value range: both come from here. How the metadata lie in a file or beside it
is a matter of the format (:mod:`bitsr.artifact.formats`).
"""

import json
import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bitsr.common.errors import ArtifactError

FORMAT: Literal["bitsr-artifact"] = "bitsr-artifact"
# 2: bytes_per_pixel, and a digest over the text of a sidecar.
FORMAT_VERSION: Literal[2] = 2
# Version of the ops' meaning (docs/formats.md, "Ops"); a change of their maths raises it.
OPS_VERSION: Literal[1] = 1  # Steps of a sampling where nobody says how many.
DEFAULT_STEPS = 50

Positive = Annotated[int, Field(ge=1)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SizeRules(_Strict):
    """Sizes of an input picture that the artifact takes: sides in pixels, ``max_pixels`` bounds H * W."""

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
        """Raise :class:`ArtifactError` for a size that the artifact does not take."""
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


class ArtifactFacts(_Strict):
    """What the exporter knows of an artifact. ``figures`` are measured: ``{set: {"psnr": dB, ...}}``, empty if unknown.

    ``bytes_per_pixel`` bounds the memory that a run takes for each pixel of its input. With ``diffusion`` the artifact
    is one step of a sampling; ``sizes`` are those of the low-resolution picture, as for every artifact, and its map has
    ``scale`` times their sides.
    """

    format: Literal["bitsr-artifact"] = FORMAT
    format_version: Literal[2] = FORMAT_VERSION
    model: str
    scale: Positive
    in_channels: Positive
    out_channels: Positive
    value_range: tuple[float, float] = (0.0, 1.0)
    channel_order: Literal["RGB", "any"] = "RGB"
    dtype: Literal["float32"] = "float32"
    sizes: SizeRules
    bytes_per_pixel: Annotated[int, Field(ge=0)]
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

    @model_validator(mode="after")
    def _range_is_a_range(self) -> Self:
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


class ArtifactInfo(ArtifactFacts):
    """The metadata of an artifact: its facts, and what its format adds.

    ``kind`` is the format's name, ``layout`` the order of the dimensions in the file. ``artifact_sha256`` is of the
    artifact; ``metadata_sha256`` of the metadata's text where that lies beside it. A digest of something that holds
    the digest itself is taken with zeros in its place.
    """

    kind: str
    layout: Literal["NCHW", "NHWC"]
    artifact_bytes: Positive
    artifact_sha256: Digest
    metadata_sha256: Digest | None = None


def parse_info(text: str | bytes, *, source: str) -> ArtifactInfo:
    """Check the text of a sidecar, or of metadata that is embedded in an artifact; ``source`` names it in errors.

    Raises:
        ArtifactError: no JSON, no metadata of bitsr, of another version, or a field that is missing or wrong.
    """
    try:
        data = json.loads(text)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ArtifactError(f"the metadata in {source} are corrupt ({error}); export the model again") from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        raise ArtifactError(f"{source} has no metadata of bitsr: expected format '{FORMAT}', got {found!r}")
    for field, known in (("format_version", FORMAT_VERSION), ("ops_version", OPS_VERSION)):
        version = data.get(field)
        if isinstance(version, int) and version != known:
            remedy = "update bitsr" if version > known else "export the model again"
            raise ArtifactError(f"{source} has {field} {version}, this bitsr reads {known}; {remedy}")
    try:
        return ArtifactInfo.model_validate(data)
    except ValidationError as error:
        problem = _problem(error)
        raise ArtifactError(f"the metadata in {source} are not valid: {problem}; export the model again") from error


def _problem(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "content"
    if first["type"] == "missing":  # the input is the whole of the metadata then
        return f"{field} is missing"
    return f"{field}: {first['msg']}, got {first.get('input')!r}"
