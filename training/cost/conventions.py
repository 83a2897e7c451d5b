"""How the papers add up a network's cost. Their numbers can be compared only within one convention."""

from collections.abc import Sequence
from dataclasses import dataclass

from bitsr.common.errors import UnknownNameError
from bitsr.training.cost.counting import LayerCost

# All of them say that a 64-bit word does 64 bit operations at once (Bi-Real Net, ECCV 2018), and that a float has 32.
WORD = 64
FLOAT_BITS = 32


@dataclass(frozen=True)
class Convention:
    """One way to count.

    Operations are ``per_mac (MACs + bit MACs / 64)`` and so many for an element that is normalised by groups, by
    batches, or averaged; parameters are ``float ones + low-bit ones * bits / 32``. ``weights_only`` leaves out all
    parameters that are no weights of convolutions or fully connected layers.
    """

    name: str
    source: str
    unit: str
    per_mac: int
    per_normalized: int
    per_batch_normalized: int
    per_averaged: int
    weights_only: bool

    def operations(self, layers: Sequence[LayerCost]) -> float:
        return sum(
            self.per_mac * (layer.macs + layer.bit_macs / WORD)
            + self.per_normalized * layer.normalized
            + self.per_batch_normalized * layer.batch_normalized
            + self.per_averaged * layer.averaged
            for layer in layers
        )

    def parameters(self, layers: Sequence[LayerCost]) -> float:
        return sum(
            (layer.float_weights if self.weights_only else layer.float_parameters)
            + layer.low_bit_weights * layer.weight_bits / FLOAT_BITS
            for layer in layers
        )


CONVENTIONS = {
    convention.name: convention
    for convention in (
        Convention(
            name="ebsr",
            source="EBSR, arXiv 2303.12270v1, tables 3 and 4: FLOPs + BOPs / 64, two operations a multiply-accumulate",
            unit="FLOPs",
            per_mac=2,
            # Twice thop's 4 operations an element of an affine batch normalisation; only so the rows of E2FIF fit.
            per_normalized=8,
            per_batch_normalized=8,
            per_averaged=2,
            weights_only=False,
        ),
        Convention(
            name="bbcu",
            source="BBCU, ICLR 2023, table 1: MACs + bit MACs / 64, batch normalisation folded, weights only",
            unit="OPs",
            per_mac=1,
            per_normalized=5,
            per_batch_normalized=0,
            per_averaged=0,
            weights_only=True,
        ),
        Convention(
            name="bidiffsr",
            source="BI-DiffSR, NeurIPS 2024, table 2 (fvcore): MACs + bit MACs / 64, 5 for a normalised element",
            unit="OPs",
            per_mac=1,
            per_normalized=5,
            per_batch_normalized=0,
            per_averaged=0,
            weights_only=False,
        ),
    )
}


def convention(name: str) -> Convention:
    """The convention of this name.

    Raises:
        UnknownNameError: there is none.
    """
    try:
        return CONVENTIONS[name]
    except KeyError:
        raise UnknownNameError(f"there is no convention '{name}'; expected one of {', '.join(CONVENTIONS)}") from None
