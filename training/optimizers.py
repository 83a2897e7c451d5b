"""Optimizers of a training: Adam for all parameters, or Muon for the latent weights of binary layers beside it."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from bitsr.training.layers import BinaryConv2d
from bitsr.training.recipe import Optimizer

# Coefficients of the quintic Newton-Schulz iteration: Muon (Jordan et al., 2024).
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalized(matrices: Tensor, *, iterations: int) -> Tensor:
    """The nearest semi-orthogonal matrices, approximately. (L, m, n) -> (L, m, n), any scale of the input.

    Newton-Schulz iteration ``X <- a X + (b A + c A A) X`` with ``A = X X^T`` from ``X / |X|``; the singular values end
    between about 0.7 and 1.2. It is computed in bfloat16 where the input is that, else in float32.
    Source: Muon (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024).
    """
    x = matrices / (matrices.flatten(1).norm(dim=1).reshape(-1, 1, 1) + 1e-7)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    for _ in range(iterations):
        a = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(a, a, a, beta=_B, alpha=_C), x, beta=_A)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum whose update of a layer is orthogonalized: for latent weights (Co, Ci, k, k), matrices of Co x Ci*k*k.

    ``w <- (1 - lr * decay) * w - lr * sqrt(max(m, n)) * orthogonalized(g + momentum * v)`` with
    ``v <- momentum * v + g``: the update's elements have a root mean square of about ``lr``, whatever the gradient's
    size. Layers of the same shape are updated together. ``bfloat16`` says in which precision the update is
    orthogonalized, as its authors do: its error is far below what five iterations leave.
    Source: Muon (Jordan et al., 2024), with Nesterov's momentum; the scale to a mean square of one is ours, so that the
    rate compares with Adam's.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: float,
        momentum: float = 0.95,
        iterations: int = 5,
        decay: float = 0.0,
        bfloat16: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "iterations": iterations, "decay": decay})
        # Beside the groups, because those come from the checkpoint of a training that goes on elsewhere.
        self.precision = torch.bfloat16 if bfloat16 else torch.float32

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        result = None
        if closure is not None:
            with torch.enable_grad():
                result = closure()
        for group in self.param_groups:
            of_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    of_shape.setdefault(parameter.shape, []).append(parameter)
            for parameters in of_shape.values():
                self._update(parameters, group)
        return result

    def _update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        velocities = []
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["velocity"] = torch.zeros_like(parameter)
            velocities.append(state["velocity"])
        torch._foreach_mul_(velocities, group["momentum"])
        torch._foreach_add_(velocities, gradients)
        ahead = torch._foreach_add(gradients, velocities, alpha=group["momentum"])
        stacked = torch.stack([update.flatten(1) for update in ahead])
        update = orthogonalized(stacked.to(self.precision), iterations=group["iterations"]).to(stacked.dtype)
        step = group["lr"] * max(update.shape[1:]) ** 0.5
        if group["decay"]:
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["decay"])
        changes = [change.reshape(p.shape) for change, p in zip(update.unbind(), parameters, strict=True)]
        torch._foreach_add_(parameters, changes, alpha=-step)


_ADAMS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def make_optimizers(model: nn.Module, settings: Optimizer, *, bfloat16: bool = False) -> list[torch.optim.Optimizer]:
    """The optimizers of a training, without a state; each group holds its highest rate as ``peak``.

    ``bfloat16`` is how Muon computes; parameters and moments stay as they are.
    """
    latent = {id(layer.weight) for layer in model.modules() if isinstance(layer, BinaryConv2d)}
    if settings.muon is None:
        latent = set()
    parameters = list(model.parameters())
    rest = [p for p in parameters if id(p) not in latent]
    optimizers: list[torch.optim.Optimizer] = [
        _ADAMS[settings.kind](
            rest,
            lr=settings.lr,
            betas=settings.betas,
            eps=settings.eps,
            weight_decay=settings.weight_decay,
            fused=True,
        )
    ]
    if settings.muon is not None and latent:
        chosen = settings.muon
        optimizers.append(
            Muon(
                [p for p in parameters if id(p) in latent],
                lr=chosen.lr,
                momentum=chosen.momentum,
                iterations=chosen.iterations,
                decay=chosen.decay,
                bfloat16=bfloat16,
            )
        )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers
