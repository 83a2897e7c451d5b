"""An exported network: its content and its metadata, read, checked and hashed once."""

from dataclasses import dataclass
from pathlib import Path

from bitsr.artifact.formats import FORMATS, ArtifactFormat, format_of
from bitsr.artifact.info import ArtifactInfo
from bitsr.common.errors import ArtifactError, UsageError
from bitsr.runtime.capi import NeedsFrameworkError
from bitsr.runtime.core import CoreNetwork
from bitsr.runtime.network import CORE, Network


@dataclass(frozen=True)
class Artifact:
    """An artifact in memory: a file that is replaced afterwards does not change it."""

    path: Path
    format: ArtifactFormat
    info: ArtifactInfo
    content: bytes

    @classmethod
    def open(cls, path: Path | str) -> "Artifact":
        """Read an artifact and check it against its metadata.

        Raises:
            ArtifactError: the artifact or its metadata is missing, broken or of another version, or they do not belong
                together.
        """
        path = Path(path)
        kind = format_of(path)
        if kind is None:
            endings = " or ".join(known.suffix for known in FORMATS.values())
            raise ArtifactError(f"{path} is no artifact: expected a name that ends with {endings}")
        if not path.is_file():
            raise ArtifactError(f"there is no artifact {path}; write one with: bitsr export")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ArtifactError(f"cannot read {path}: {error.strerror or error}; check its permissions") from error
        info = kind.read_info(content, path)
        if (info.kind, info.layout) != (kind.name, kind.layout):
            raise ArtifactError(
                f"the metadata of {path} are of another artifact: expected {kind.name} in {kind.layout}, got "
                f"{info.kind} in {info.layout}; export the model again"
            )
        return cls(path, kind, info, content)

    @property
    def needs_delegate(self) -> bool:
        """Whether it has ops of ours, so that it needs our native library."""
        return self.format.needs_delegate(self.content, name=str(self.path))

    def load(self, *, threads: int | None = None, runtime: str | None = None) -> Network:
        """Load it.

        Args:
            threads: as in :func:`bitsr.load`.
            runtime: :data:`CORE`, or the format's name for its framework; None is the core where the artifact is made
                of our ops alone, otherwise the framework.

        Raises:
            UsageError: it does not run in this runtime.
            NeedsFrameworkError: the core was asked for, and it has ops that are not ours.
            BitsrError: as :meth:`ArtifactFormat.load`.
        """
        if runtime not in (None, CORE, self.format.name):
            raise UsageError(
                f"{self.path} runs in the core ('{CORE}') and in {self.format.runtime} ('{self.format.name}') only; "
                f"give a weights file or a model id for the runtime '{runtime}'"
            )
        inputs = 1 if self.info.diffusion is None else 2
        if runtime == CORE or (runtime is None and inputs == 1 and self.needs_delegate):
            try:
                return CoreNetwork(self.content, name=str(self.path), threads=threads)
            except NeedsFrameworkError:
                if runtime == CORE:
                    raise
        return self.format.load(self.content, name=str(self.path), threads=threads, inputs=inputs)


def read_artifact(path: Path | str) -> ArtifactInfo:
    """The metadata of an artifact, checked against it; errors as :meth:`Artifact.open`."""
    return Artifact.open(path).info
