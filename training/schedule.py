"""Learning rates and seeds over a training, and the running average of its weights."""

import copy
import math

import numpy as np
import torch
from torch import nn

from bitsr.training.models import SuperResolutionModel
from bitsr.training.recipe import Schedule


def rate_factor(schedule: Schedule, *, step: int, steps: int) -> float:
    """Share of the peak learning rates in step ``step`` (0-based) of ``steps``."""
    if step < schedule.warmup:
        return (step + 1) / schedule.warmup
    if schedule.kind == "step":
        return schedule.gamma ** (step // schedule.every)
    if schedule.kind == "cosine":
        done = (step - schedule.warmup) / max(steps - schedule.warmup, 1)
        return schedule.final + (1 - schedule.final) * 0.5 * (1 + math.cos(math.pi * done))
    return 1.0


def step_seed(seed: int, *, step: int, rank: int) -> int:
    """Seed of what a step draws, for one process: the same whenever the step is done."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0])


class Average:
    """Exponential moving average of a model's parameters, with a warm-up; buffers are copied.

    After step t of the average (1-based) the decay is ``min(decay, (1 + t) / (10 + t))``; decay 0 is the model itself.
    """

    def __init__(self, model: SuperResolutionModel, *, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, *, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step)) if self.decay else 0.0
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - decay)
        for own, other in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(other)
