"""The formats of artifacts: how metadata and content are kept, and what runs them."""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from bitsr.artifact import tflite
from bitsr.artifact.info import ArtifactFacts, ArtifactInfo, parse_info
from bitsr.common.errors import ArtifactError
from bitsr.common.files import atomic_write
from bitsr.runtime.network import Network

_SIZE_DIGITS = 16
_NO_DIGEST = "0" * 64


class ArtifactFormat(ABC):
    """One format.

    Attributes:
        name: the word for it in options and metadata; a file ends with it.
        layout: order of the dimensions of input and output in the file.
        runtime: the framework that runs it, where it is not the core alone.
        package: name of the framework's package, as it is imported.
        extra: of bitsr, which installs that package.
        exported_with: distributions whose versions the metadata name.
        own_threads: whether a session in that runtime has threads of its own.
    """

    name: ClassVar[str]
    layout: ClassVar[Literal["NCHW", "NHWC"]]
    runtime: ClassVar[str]
    package: ClassVar[str]
    extra: ClassVar[str]
    exported_with: ClassVar[tuple[str, ...]]
    own_threads: ClassVar[bool]

    @property
    def suffix(self) -> str:
        """Ending of a file's name, with its dot."""
        return f".{self.name}"

    @property
    def installed(self) -> bool:
        """Whether the runtime's package is here; it is not imported."""
        return find_spec(self.package) is not None

    @abstractmethod
    def read_info(self, content: bytes, path: Path) -> ArtifactInfo:
        """The metadata of ``content``, the bytes of ``path``, checked for belonging to them.

        Raises:
            ArtifactError: they are missing, broken, of another version, or of another content.
        """

    @abstractmethod
    def write(self, content: bytes, path: Path, facts: ArtifactFacts) -> ArtifactInfo:
        """Write an artifact with its metadata, every file atomically."""

    def _info(self, facts: ArtifactFacts, *, size: int, digest: str, own: str | None = None) -> ArtifactInfo:
        return ArtifactInfo(
            **facts.fields(),
            kind=self.name,
            layout=self.layout,
            artifact_bytes=size,
            artifact_sha256=digest,
            metadata_sha256=own,
        )

    @abstractmethod
    def needs_delegate(self, content: bytes, *, name: str) -> bool:
        """Whether it has ops of ours, so that it needs our native library; ``name`` names it in errors."""

    @abstractmethod
    def load(self, content: bytes, *, name: str, threads: int | None, inputs: int) -> Network:
        """Load it into the framework of the format.

        Args:
            name: names it in errors.
            threads: as in :func:`bitsr.load`.
            inputs: how many it has: a map, and the timestep of a step of a diffusion model.

        Raises:
            MissingExtraError: the runtime's package is not installed.
            BitsrError: the native library is missing, or the runtime refuses the content.
        """


class PteFormat(ArtifactFormat):
    """ExecuTorch's program, with the metadata in ``name.json`` beside it.

    The sidecar has the digest of the artifact, so that the two can not be mixed up, and one of its own text.
    """

    name = "pte"
    layout = "NCHW"
    runtime = "ExecuTorch"
    package = "executorch"
    extra = "executorch"
    exported_with = ("bitsr", "torch", "executorch")
    own_threads = False

    def read_info(self, content: bytes, path: Path) -> ArtifactInfo:
        sidecar = sidecar_path(path)
        if not sidecar.is_file():
            raise ArtifactError(
                f"the sidecar {sidecar} is missing; keep it beside the artifact, or export the model again"
            )
        text = _read(sidecar)
        info = parse_info(text, source=str(sidecar))
        _check_digest(text, "metadata_sha256", info.metadata_sha256 or _NO_DIGEST, what=f"{sidecar} was changed")
        _check_size(content, info, path)
        digest = hashlib.sha256(content).hexdigest()
        if digest != info.artifact_sha256:
            raise ArtifactError(
                f"{path} is corrupt or does not belong to {sidecar.name}: expected SHA-256 "
                f"{info.artifact_sha256[:12]}..., got {digest[:12]}...; export the model again"
            )
        return info

    def write(self, content: bytes, path: Path, facts: ArtifactFacts) -> ArtifactInfo:
        digest = hashlib.sha256(content).hexdigest()
        draft = self._info(facts, size=len(content), digest=digest, own=_NO_DIGEST)
        text = (draft.to_json(indent=2) + "\n").encode()
        own = hashlib.sha256(text).hexdigest()
        # The artifact comes first: if the sidecar can not be written, an old one no longer matches and is refused.
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
        with atomic_write(sidecar_path(path)) as temporary:
            temporary.write_bytes(_with_digest(text, "metadata_sha256", own))
        return replace(draft, metadata_sha256=own)

    def needs_delegate(self, content: bytes, *, name: str) -> bool:
        return b"BitsrBackend" in content

    def load(self, content: bytes, *, name: str, threads: int | None, inputs: int) -> Network:
        from bitsr.runtime.pte import PteNetwork

        return PteNetwork(content, name=name, inputs=inputs)


class TfliteFormat(ArtifactFormat):
    """TensorFlow Lite's model, with the metadata inside; the digest is of the file with zeros in its place."""

    name = "tflite"
    layout = "NHWC"
    runtime = "LiteRT"
    package = "ai_edge_litert"
    extra = "litert"
    exported_with = ("bitsr", "torch", "onnx2tf", "tensorflow")
    own_threads = True

    def read_info(self, content: bytes, path: Path) -> ArtifactInfo:
        text = tflite.read_metadata(content, name=str(path))
        if text is None and self.needs_delegate(content, name=str(path)):
            raise ArtifactError(
                f"{path} is of `bitsr convert`: its scale and value range are not known; run it with bitsr-run, or in "
                "LiteRT with our delegate"
            )
        if text is None:
            raise ArtifactError(f"{path} has no metadata of bitsr; export the model with: bitsr export --format tflite")
        info = parse_info(text, source=str(path))
        _check_size(content, info, path)
        _check_digest(content, "artifact_sha256", info.artifact_sha256, what=f"{path} is corrupt")
        return info

    def write(self, content: bytes, path: Path, facts: ArtifactFacts) -> ArtifactInfo:
        from bitsr.artifact.flatbuffer import finish

        # Size and digest are known last; the text keeps its length, so that only its own bytes change.
        sized = self._info(facts, size=1, digest=_NO_DIGEST)
        draft = sized.to_json()
        draft = draft.ljust(len(draft) + _SIZE_DIGITS)
        drafted = finish(content, metadata=draft)
        sized = replace(sized, artifact_bytes=len(drafted))
        text = sized.to_json().ljust(len(draft))
        finished = drafted.replace(draft.encode(), text.encode(), 1)
        digest = hashlib.sha256(finished).hexdigest()
        with atomic_write(path) as temporary:
            temporary.write_bytes(_with_digest(finished, "artifact_sha256", digest))
        return replace(sized, artifact_sha256=digest)

    def needs_delegate(self, content: bytes, *, name: str) -> bool:
        return any(op.startswith("Bitsr") for op in tflite.custom_ops(content, name=name))

    def load(self, content: bytes, *, name: str, threads: int | None, inputs: int) -> Network:
        from bitsr.runtime.litert import TfliteNetwork

        delegate = self.needs_delegate(content, name=name)
        return TfliteNetwork(content, name=name, threads=threads, delegate=delegate, inputs=inputs)


# In the order in which a runtime is looked for where none is asked for.
FORMATS: dict[str, ArtifactFormat] = {one.name: one for one in (TfliteFormat(), PteFormat())}


def format_of(path: Path | str) -> ArtifactFormat | None:
    """The format that a file's name says, ``None`` for every other file."""
    return FORMATS.get(Path(path).suffix.removeprefix(".").lower())


def sidecar_path(artifact: Path | str) -> Path:
    """``name.json`` beside ``name.pte``."""
    return Path(artifact).with_suffix(".json")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}; check its permissions") from error


def _check_size(content: bytes, info: ArtifactInfo, path: Path) -> None:
    if len(content) != info.artifact_bytes:
        raise ArtifactError(
            f"{path} is truncated or of another export: expected {info.artifact_bytes} bytes, got {len(content)}; "
            "export the model again"
        )


def _with_digest(content: bytes, field: str, digest: str) -> bytes:
    """``content`` with another digest in the last field of that name."""
    _, name, rest = content.rpartition(f'"{field}"'.encode())
    gap = rest.find(b'"') + 1
    start = len(content) - len(rest) + gap
    if not (name and gap):
        raise ArtifactError(f"there is no {field} in the metadata, expected one; export the model again")
    return content[:start] + digest.encode() + content[start + len(digest) :]


def _check_digest(content: bytes, field: str, expected: str, *, what: str) -> None:
    """Check a digest that was taken with zeros in its own place, the last field of that name."""
    digest = hashlib.sha256(_with_digest(content, field, _NO_DIGEST)).hexdigest()
    if digest != expected:
        raise ArtifactError(
            f"{what}: expected SHA-256 {expected[:12]}..., got {digest[:12]}...; export the model again"
        )
