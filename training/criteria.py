"""What a network's output is compared by, by the names that recipes have."""

import torch
import torch.nn.functional as F
from torch import Tensor

from bitsr.training.models.network import Criterion

# Of values in [0, 1]: where the error is smaller, the loss is nearly quadratic.
CHARBONNIER_EPSILON = 1e-3


def charbonnier(prediction: Tensor, target: Tensor) -> Tensor:
    """``mean(sqrt((prediction - target)^2 + epsilon^2))``: the absolute error, smooth at 0.

    Source: Lai et al., LapSRN, CVPR 2017, eq. 3, with its epsilon of 1e-3.
    """
    return torch.sqrt((prediction - target).square() + CHARBONNIER_EPSILON**2).mean()


CRITERIA: dict[str, Criterion] = {"l1": F.l1_loss, "charbonnier": charbonnier}
