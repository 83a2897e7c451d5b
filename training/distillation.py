"""Training guided by another network: by its pictures, and where it has the same structure by its blocks' features.

Two ways to compare features, each with what is inferred:

- ``attention``: FRB's distillation-guided binarization training (Zhang, Qin et al., ICML 2024): block by block, in a
  "normalized attention form". Its equation is not public; inferred is the usual attention transfer (Zagoruyko and
  Komodakis, ICLR 2017), ``G(F) = vec(mean over channels of F^2) / its L2 norm`` and the sum over the blocks of the mean
  squared difference. Its weight in the loss is not known.
- ``softmax``: IBTM's (Jiang et al., AAAI 2021): the Kullback-Leibler divergence of the softmax of the features at four
  stages. Inferred: the softmax is over the channels of each pixel, the divergence of the student's from the teacher's,
  the stages end at each quarter of the blocks.

The output's part is IBTM's too: the mean absolute difference of both networks' pictures.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.common.errors import UsageError
from bitsr.training.models import SuperResolutionModel
from bitsr.training.models.diffusion import DiffusionModel

Features = Literal["attention", "softmax"]


def attention_map(features: Tensor) -> Tensor:
    """``G(F)``: (N, C, H, W) -> (N, H * W), float32, of length 1; the same for every multiple of the features."""
    return F.normalize(features.float().square().mean(dim=1).flatten(1), dim=1)


def channel_log_softmax(features: Tensor) -> Tensor:
    """Logarithm of the softmax over the channels of each pixel: (N, C, H, W) -> (N * H * W, C), float32."""
    return F.log_softmax(features.float().movedim(1, -1).flatten(0, 2), dim=1)


def _divergence(own: Tensor, guiding: Tensor) -> Tensor:
    """KL(guiding || own) of logarithms of probabilities, mean over the pixels."""
    return F.kl_div(own, guiding, log_target=True, reduction="batchmean")


# By the recipe's word: what is kept of a block's features, and the difference of two of these.
_FORMS: dict[Features, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "attention": (attention_map, F.mse_loss),
    "softmax": (channel_log_softmax, _divergence),
}


class Distillation:
    """Watches the blocks and the output of a student and runs its teacher.

    Blocks are the children of ``body``; both networks need as many, where features are compared. What is compared of
    the student is of its last forward pass, which must come before each :meth:`loss`.

    Args:
        student, teacher: networks of one scale, for features of one structure too.
        weight: factor of the features' difference; 0: they are not compared.
        features: how they are compared.
        stages: at the ends of how many parts of the blocks, all about as long; 0: behind every block.
        output: factor of the pictures' mean absolute difference; 0: they are not compared.

    Raises:
        UsageError: a diffusion model, or another scale; for features a network without blocks, another number of them,
            or more stages than blocks.
    """

    def __init__(
        self,
        student: SuperResolutionModel,
        teacher: SuperResolutionModel,
        *,
        weight: float,
        features: Features = "attention",
        stages: int = 0,
        output: float = 0.0,
    ) -> None:
        for network in (student, teacher):
            if isinstance(network, DiffusionModel):
                raise UsageError(
                    f"{network.name} predicts noise, no picture, so that it can neither teach nor be taught; expected "
                    "a network from picture to picture"
                )
        if student.scale != teacher.scale:
            raise UsageError(
                f"{teacher.name} (x{teacher.scale}) can not teach {student.name} (x{student.scale}); expected a "
                "network of the same scale"
            )
        # Pictures are compared whatever the networks look like inside.
        own, guiding = (_blocks(student), _blocks(teacher)) if weight else ([], [])
        if len(own) != len(guiding):
            raise UsageError(
                f"{teacher.name} ({len(guiding)} blocks) can not teach {student.name} ({len(own)} blocks) by its "
                "features; expected the float network of the same structure, or teacher.weight=0 and teacher.output "
                "above 0"
            )
        if weight and stages > len(own):
            raise UsageError(f"{stages} stages of {len(own)} blocks; expected at most one for each block")
        self.weight = weight
        self.output = output
        self.teacher = teacher.eval().requires_grad_(False)
        form, self._difference = _FORMS[features]
        places = _stage_ends(len(own), stages) if weight else []
        self._student_maps = _watch([own[place] for place in places], form)
        self._teacher_maps = _watch([guiding[place] for place in places], form)
        self._student_pictures = _watch([student], lambda pictures: pictures) if output else []

    def loss(self, low: Tensor) -> Tensor:
        """For the pictures (N, 3, H, W) of the student's last forward pass, a scalar:

        ``weight * sum over stages of difference(student, teacher) + output * mean |student(low) - teacher(low)|``.
        """
        self._teacher_maps.clear()
        with torch.no_grad():
            taught = self.teacher(low)
        pairs = list(zip(self._student_maps, self._teacher_maps, strict=True))
        self._student_maps.clear()
        parts = [self.weight * self._difference(own, guiding) for own, guiding in pairs]
        parts += [self.output * F.l1_loss(picture, taught) for picture in self._student_pictures]
        self._student_pictures.clear()
        return torch.stack(parts).sum()


def _stage_ends(blocks: int, stages: int) -> list[int]:
    """Numbers of the last blocks of the stages."""
    stages = stages or blocks
    return [blocks * (stage + 1) // stages - 1 for stage in range(stages)]


def _blocks(model: SuperResolutionModel) -> list[nn.Module]:
    body = getattr(model, "body", None)
    if not isinstance(body, nn.Sequential):
        raise UsageError(
            f"{model.name} has no body of blocks in series, so that it can neither teach nor be taught by features; "
            "expected one, or teacher.weight=0 and teacher.output above 0"
        )
    return list(body)


def _watch(modules: list[nn.Module], form: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """A list to which each forward pass of the modules adds the form of what they give."""
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, features: Tensor) -> None:
        kept.append(form(features))

    for module in modules:
        module.register_forward_hook(keep)
    return kept
