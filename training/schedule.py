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
    if schedule.kind == "milestones":
        return schedule.gamma ** sum(step >= milestone for milestone in schedule.milestones)
    if schedule.kind == "cosine":
        done = (step - schedule.warmup) / max(steps - schedule.warmup, 1)
        return schedule.final + (1 - schedule.final) * 0.5 * (1 + math.cos(math.pi * done))
    return 1.0


def step_seed(seed: int, *, step: int, rank: int) -> int:
    """Seed of what a step draws, for one process: the same whenever the step is done."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0])


class Average:
    """Average of a model's parameters over the steps; buffers are copied.

    An exponential moving one has after step t (1-based) the decay ``min(decay, (1 + t) / (10 + t))``; decay 0 is the
    model itself. With ``mean_from`` it is the model itself up to that step, and the plain mean over all later ones.
    """

    def __init__(self, model: SuperResolutionModel, *, decay: float, mean_from: int = 0) -> None:
        self.decay = decay
        self.mean_from = mean_from
        self.model = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, *, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step)) if self.decay else 0.0
        if self.mean_from and step > self.mean_from:
            decay = 1 - 1 / (step - self.mean_from)
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - decay)
        for own, other in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(other)
