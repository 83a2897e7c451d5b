"""Training guided by a float network of the same structure: normalised attention maps of the blocks are aligned.

Source: FRB's distillation-guided binarization training (Zhang, Qin et al., ICML 2024): block by block, in a "normalized
attention form". Its equation is not public; inferred is the usual attention transfer (Zagoruyko and Komodakis, ICLR
2017), ``G(F) = vec(mean over channels of F^2) / its L2 norm`` and the sum over the blocks of the mean squared
difference, added to the loss of the pictures with a weight of the recipe (the paper's is unknown).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.common.errors import UsageError
from bitsr.training.models import SuperResolutionModel


def attention_map(features: Tensor) -> Tensor:
    """``G(F)``: (N, C, H, W) -> (N, H * W), float32, of length 1; the same for every multiple of the features."""
    return F.normalize(features.float().square().mean(dim=1).flatten(1), dim=1)


class Distillation:
    """Watches the blocks of a student and runs its teacher.

    Blocks are the children of ``body``; both networks need as many. The student's maps are those of its last forward
    pass, which must come before each :meth:`loss`.

    Raises:
        UsageError: a network without blocks, another number of them, or another scale.
    """

    def __init__(self, student: SuperResolutionModel, teacher: SuperResolutionModel, *, weight: float) -> None:
        own, guiding = _blocks(student), _blocks(teacher)
        if len(own) != len(guiding) or student.info.scale != teacher.info.scale:
            raise UsageError(
                f"{teacher.info.id} (x{teacher.info.scale}, {len(guiding)} blocks) can not teach {student.info.id} "
                f"(x{student.info.scale}, {len(own)} blocks); expected the float network of the same structure"
            )
        self.weight = weight
        self.teacher = teacher.eval().requires_grad_(False)
        self._student_maps = _watch(own)
        self._teacher_maps = _watch(guiding)

    def loss(self, low: Tensor) -> Tensor:
        """``weight * sum over blocks of MSE(G(student), G(teacher))`` for the pictures (N, 3, H, W), a scalar."""
        self._teacher_maps.clear()
        with torch.no_grad():
            self.teacher(low)
        pairs = list(zip(self._student_maps, self._teacher_maps, strict=True))
        self._student_maps.clear()
        return self.weight * torch.stack([F.mse_loss(own, guiding) for own, guiding in pairs]).sum()


def _blocks(model: SuperResolutionModel) -> list[nn.Module]:
    body = getattr(model, "body", None)
    if not isinstance(body, nn.Sequential):
        raise UsageError(f"{model.info.id} has no body of blocks in series, so it can neither teach nor be taught")
    return list(body)


def _watch(blocks: list[nn.Module]) -> list[Tensor]:
    """A list to which each forward pass of the blocks adds its map."""
    maps: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, features: Tensor) -> None:
        maps.append(attention_map(features))

    for block in blocks:
        block.register_forward_hook(keep)
    return maps
