"""The metadata of an artifact: what a runtime must know before it runs a model.

A model never runs with a wrong scale or value range: both come from here. How the metadata lie in a file or beside it
is a matter of the format (:mod:`bitsr.artifact.formats`).
"""

import json
import math
from dataclasses import dataclass, fields
from typing import Any, Literal

from bitsr.artifact.fields import (
    CheckedFields,
    ProblemError,
    ascending_pair,
    checked,
    dict_of,
    from_object,
    list_of,
    made_of,
    number,
    number_between,
    one_of,
    optional,
    sha256,
    shown,
    text,
    whole,
    yes_or_no,
)
from bitsr.artifact.program import MAX_CHANNELS
from bitsr.common.errors import ArtifactError

FORMAT: Literal["bitsr-artifact"] = "bitsr-artifact"
# 2: bytes_per_pixel, and a digest over the text of a sidecar.
FORMAT_VERSION: Literal[2] = 2
# Version of the ops' meaning (docs/formats.md, "Ops"); a change of their maths raises it.
OPS_VERSION: Literal[1] = 1
# Steps of a sampling where nobody says how many.
DEFAULT_STEPS = 50

# Type of an artifact's input and output: float32 in the value range, or the 8 bits of pixels.
Dtype = Literal["float32", "uint8"]
# The most that is read here and in runtime/runner/metadata.cpp, beyond any network that is known (docs/formats.md).
LIMITS = {"scale": 16, "channels": MAX_CHANNELS, "side": 1 << 20, "pixels": 1 << 40, "range": 1 << 20}
_positive = whole(least=1)
_count = whole(least=0)
_side = whole(least=1, most=LIMITS["side"])
_channels = whole(least=1, most=LIMITS["channels"])


@dataclass(frozen=True, kw_only=True)
class SizeRules(CheckedFields):
    """Sizes of an input picture that the artifact takes: sides in pixels, ``max_pixels`` bounds H * W."""

    min_side: int = checked(_side)
    max_pixels: int = checked(whole(least=1, most=LIMITS["pixels"]))
    multiple: int = checked(_side)

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


@dataclass(frozen=True, kw_only=True)
class DiffusionFacts(CheckedFields):
    """Of a step network: it predicts the noise in x_t, beta is linear in t.

    Its inputs are a map of the bicubically enlarged picture and x_t (6 channels) and the timestep, int64 (1,).
    """

    timesteps: int = checked(whole(least=1, most=100_000))
    beta_start: float = checked(number_between(0, 1))
    beta_end: float = checked(number_between(0, 1))


@dataclass(frozen=True, kw_only=True)
class ArtifactFacts(CheckedFields):
    """What the exporter knows of an artifact. ``figures`` are measured: ``{set: {"psnr": dB, ...}}``, empty if unknown.

    ``dtype`` is that of input and output; with uint8 levels / 255 are meant, results are rounded half up.
    ``bytes_per_pixel`` bounds the memory that a run takes for each pixel of its input. With ``diffusion`` the artifact
    is one step of a sampling; ``sizes`` are those of the low-resolution picture, as for every artifact, and its map has
    ``scale`` times their sides.
    """

    format: Literal["bitsr-artifact"] = checked(one_of(FORMAT), default=FORMAT)
    format_version: Literal[2] = checked(one_of(FORMAT_VERSION), default=FORMAT_VERSION)
    model: str = checked(text)
    scale: int = checked(whole(least=1, most=LIMITS["scale"]))
    in_channels: int = checked(_channels)
    out_channels: int = checked(_channels)
    value_range: tuple[float, float] = checked(ascending_pair(most=LIMITS["range"]), default=(0.0, 1.0))
    channel_order: Literal["RGB", "any"] = checked(one_of("RGB", "any"), default="RGB")
    dtype: Dtype = checked(one_of("float32", "uint8"), default="float32")
    sizes: SizeRules = checked(made_of(SizeRules))
    bytes_per_pixel: int = checked(_count)
    receptive_field_radius: int = checked(whole(least=0, most=LIMITS["side"]))
    global_pooling: bool = checked(yes_or_no)
    diffusion: DiffusionFacts | None = checked(optional(made_of(DiffusionFacts)), default=None)
    recipe: str = checked(text, default="")
    training_steps: int = checked(_count, default=0)
    training_data: list[str] = checked(list_of(text), default_factory=list)
    figures: dict[str, dict[str, float]] = checked(dict_of(dict_of(number)), default_factory=dict)
    weights_sha256: str = checked(sha256)
    ops_version: Literal[1] = checked(one_of(OPS_VERSION), default=OPS_VERSION)
    blob_version: int = checked(_positive)
    versions: dict[str, str] = checked(dict_of(text))

    def fields(self) -> dict[str, Any]:
        """Every field by its name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True, kw_only=True)
class ArtifactInfo(ArtifactFacts):
    """The metadata of an artifact: its facts, and what its format adds.

    ``kind`` is the format's name, ``layout`` the order of the dimensions in the file. ``artifact_sha256`` is of the
    artifact; ``metadata_sha256`` of the metadata's text where that lies beside it. A digest of something that holds
    the digest itself is taken with zeros in its place.
    """

    kind: str = checked(text)
    layout: Literal["NCHW", "NHWC"] = checked(one_of("NCHW", "NHWC"))
    artifact_bytes: int = checked(_positive)
    artifact_sha256: str = checked(sha256)
    metadata_sha256: str | None = checked(optional(sha256), default=None)

    def to_json(self, *, indent: int | None = None) -> str:
        """The text that :func:`parse_info` reads; what is None is left out, the digests come last."""
        return json.dumps(_stated(self), indent=indent, ensure_ascii=False, allow_nan=False)


def _stated(value: CheckedFields) -> dict[str, Any]:
    stated = {one.name: getattr(value, one.name) for one in fields(value)}
    return {
        name: _stated(entry) if isinstance(entry, CheckedFields) else entry
        for name, entry in stated.items()
        if entry is not None
    }


def parse_info(text: str | bytes, *, source: str) -> ArtifactInfo:
    """Check the text of a sidecar, or of metadata that is embedded in an artifact; ``source`` names it in errors.

    Raises:
        ArtifactError: no JSON, no metadata of bitsr, of another version, or a field that is missing or wrong.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"the metadata in {source} are corrupt ({error}); export the model again") from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        raise ArtifactError(f"{source} has no metadata of bitsr: expected format '{FORMAT}', got {shown(found)}")
    for field, known in (("format_version", FORMAT_VERSION), ("ops_version", OPS_VERSION)):
        version = data.get(field)
        if isinstance(version, int) and version != known:
            remedy = "update bitsr" if version > known else "export the model again"
            raise ArtifactError(f"{source} has {field} {shown(version)}, this bitsr reads {known}; {remedy}")
    try:
        return from_object(ArtifactInfo, data)
    except ProblemError as error:
        raise ArtifactError(f"the metadata in {source} are not valid: {error}; export the model again") from error
