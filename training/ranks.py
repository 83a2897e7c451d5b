"""What the processes of one training agree on, so that none of them waits for another that has gone."""

import torch
from lightning.fabric import Fabric

from bitsr.common.errors import UsageError


def share_of_batch(batch_size: int, *, processes: int) -> int:
    """Pictures per step and process.

    Raises:
        UsageError: the processes cannot share the batch equally.
    """
    if batch_size % processes:
        raise UsageError(
            f"batch_size {batch_size} is not a multiple of the {processes} devices; change batch_size or devices"
        )
    return batch_size // processes


def on_any(fabric: Fabric, *conditions: bool) -> tuple[bool, ...]:
    """For each condition, whether it holds in any process; every process has to call this at the same place."""
    if fabric.world_size == 1:
        return conditions
    counts = fabric.all_reduce(torch.tensor(conditions, dtype=torch.float32, device=fabric.device), reduce_op="sum")
    return tuple(bool(count > 0) for count in torch.as_tensor(counts).tolist())


def end_others(fabric: Fabric) -> None:
    """End every process but the first, quietly: what all have agreed on is reported once.

    The launcher kills the first process where another one ends with an error, so theirs is success.
    """
    if not fabric.is_global_zero:
        raise SystemExit(0)
