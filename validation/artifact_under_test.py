"""An artifact with the reference that it is compared with."""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor, nn

from bitsr.artifact.artifact import read_artifact
from bitsr.artifact.info import ArtifactInfo
from bitsr.common.errors import ArtifactError, UsageError
from bitsr.export.deploy import deploy_form
from bitsr.export.errors import ExportError
from bitsr.export.loading import weights_digest
from bitsr.export.parity.artifact_ops import ArtifactOp, artifact_ops
from bitsr.export.parity.recording import OpCall, Recording, record
from bitsr.training.models import SuperResolutionModel
from bitsr.training.models.diffusion import DiffusionModel
from bitsr.training.weights import load_model
from bitsr.validation.parity import diffusion_steps
from bitsr.validation.parity.op_cases import OpCase
from bitsr.validation.parity.ops import golden_picture, make_cases
from bitsr.validation.parity.pictures import TestPicture, check_sizes, make_samples
from bitsr.validation.request import Request
from bitsr.validation.results import Artifact
from bitsr.validation.timing.float_twin import write_float_twin

log = logging.getLogger(__name__)

# Side of the square that is timed, where the artifact leaves a choice and takes so many pixels.
TIMED_SIDE = 128


@dataclass(frozen=True)
class ArtifactUnderTest:
    """An artifact, the eager deploy form, and what both compute.

    Attributes:
        path: of the file.
        info: its metadata.
        network: the deploy form in eager PyTorch.
        facts: of the file, for the results.
        golden: inputs whose ops are replayed.
        steps: whole steps of a diffusion model.
        samples: test pictures with their eager enlargements.
        request: what was asked for.
    """

    path: Path
    info: ArtifactInfo
    network: nn.Module
    facts: Artifact
    golden: tuple[Tensor, ...]
    steps: list[diffusion_steps.DiffusionStep]
    samples: list[TestPicture]
    request: Request

    @cached_property
    def ops(self) -> list[ArtifactOp]:
        """Its ops of our kernels; errors as :func:`bitsr.export.parity.artifact_ops.artifact_ops`."""
        return artifact_ops(self.path)

    @cached_property
    def recording(self) -> Recording:
        """The reference's run on the golden inputs."""
        log.info("%s: golden values of its ops from eager PyTorch", self.path.name)
        return record(self.network, *self.golden)

    @property
    def calls(self) -> list[OpCall]:
        """The reference's op calls on the golden inputs."""
        return self.recording.calls

    @cached_property
    def cases(self) -> list[OpCase]:
        """The replays of its ops, none of a file in stock ops; errors as :func:`.parity.ops.make_cases`."""
        return make_cases(self.ops, self.calls, only=self.request.op) if self.ops else []

    @property
    def timed_side(self) -> int:
        """Side of the square that is timed."""
        if self.info.diffusion is not None:
            return diffusion_steps.step_side(self.info)
        return self.info.sizes.square(most=TIMED_SIDE)

    def write_twin(self, folder: Path) -> Path:
        """Its float twin in ``folder``, lowered at the first call.

        Raises:
            ExportError: none can be made.
        """
        if self.info.diffusion is not None:
            raise ExportError("none is made of a step of a diffusion model")
        path = folder / f"{self.path.stem}_float{self.path.suffix}"
        if not path.exists():
            log.info("%s: lower its float twin", self.path.name)
            write_float_twin(
                path,
                self.network,
                kind=self.info.kind,
                channels=self.info.in_channels,
                side=self.timed_side,
                fixed=self.info.sizes.only_side is not None,
            )
        return path


class References:
    """Opens artifacts; those of the same weights share the model, the deploy form and its pictures."""

    def __init__(self, request: Request, originals: list[Path]) -> None:
        self._request = request
        self._originals = originals
        self._networks: dict[str, tuple[SuperResolutionModel, nn.Module]] = {}
        self._samples: dict[tuple[str, int | None], list[TestPicture]] = {}

    def open(self, path: Path) -> ArtifactUnderTest:
        """Read an artifact and compute its reference.

        Raises:
            UsageError: its weights are others, or a picture does not fit it.
            ArtifactError: it is broken or not what it claims to be.
        """
        info = read_artifact(path)
        model, network = self._network(info.model)
        if weights_digest(model.state_dict()) != info.weights_sha256:
            raise UsageError(
                f"{path} was exported from other weights than {self._request.weights or 'those that come with bitsr'}; "
                "name its weights file with --weights"
            )
        expected = (model.info.id, model.info.scale)
        if (info.model, info.scale) != expected:
            raise ArtifactError(
                f"{path} says that it is '{info.model}' at x{info.scale}, its weights are of '{expected[0]}' at "
                f"x{expected[1]}; its metadata was changed, export it again"
            )
        facts = Artifact(
            file=path.name,
            kind=info.kind,
            model=info.model,
            scale=info.scale,
            bytes=info.artifact_bytes,
            float_bytes=sum(4 * parameter.numel() for parameter in model.parameters()),
            sha256=info.artifact_sha256,
            weights_sha256=info.weights_sha256,
            versions=info.versions,
        )
        seed = self._request.seed
        if not isinstance(model, DiffusionModel):
            golden = (golden_picture(seed=seed, channels=info.in_channels),)
            samples = self._pictures(info, network)
            return ArtifactUnderTest(path, info, network, facts, golden, [], samples, self._request)
        steps: list[diffusion_steps.DiffusionStep] = []
        if self._request.op is None:
            timesteps = ", ".join(map(str, diffusion_steps.compared_timesteps(model)))
            log.info("%s: the eager reference at timesteps %s", path.name, timesteps)
            steps = diffusion_steps.make_steps(model, network, info=info, seed=seed)
        golden_step = diffusion_steps.replayed_step(model, seed=seed)
        return ArtifactUnderTest(path, info, network, facts, golden_step, steps, [], self._request)

    def _network(self, model_id: str) -> tuple[SuperResolutionModel, nn.Module]:
        name = str(self._request.weights or model_id)
        if name not in self._networks:
            log.info("load %s", name)
            model = load_model(self._request.weights if self._request.weights is not None else model_id)
            self._networks[name] = (model, deploy_form(model).eval())
        return self._networks[name]

    def _pictures(self, info: ArtifactInfo, network: nn.Module) -> list[TestPicture]:
        key = (info.weights_sha256, info.sizes.only_side)
        if key not in self._samples:
            self._samples[key] = make_samples(self._originals, network, info=info)
        check_sizes(self._samples[key], info=info)
        return self._samples[key]
