"""Fold rules of E2FIF: unit, block, network."""

from torch import nn

from bitsr.export.deploy.layers import GatedBinaryConv2d, SuperResolver
from bitsr.export.deploy.registry import fold, fold_rule
from bitsr.export.deploy.rules.folding import fold_conv, fold_head, fold_tail
from bitsr.training.models.e2fif import E2fif, E2fifBlock, E2fifUnit


def _e2fif_unit(module: E2fifUnit, activation: nn.Module | None) -> GatedBinaryConv2d:
    return GatedBinaryConv2d(
        fold_conv(module.conv, norm=module.norm, activation=activation), channel=None, spatial=None
    )


@fold_rule(E2fifUnit)
def _plain_e2fif_unit(module: E2fifUnit) -> GatedBinaryConv2d:
    return _e2fif_unit(module, None)


@fold_rule(E2fifBlock)
def _e2fif_block(module: E2fifBlock) -> nn.Module:
    return nn.Sequential(_e2fif_unit(module.unit1, module.activation), _e2fif_unit(module.unit2, None))


@fold_rule(E2fif)
def _e2fif(module: E2fif) -> SuperResolver:
    return SuperResolver(
        mean=module.normalize.mean,
        head=fold_head(module.head, module.normalize),
        body=fold(module.body),
        tail=fold_tail(module.tail, mean=module.normalize.mean, pixels=module.scale**2),
        scale=module.scale,
        nearest_skip=False,
    )
