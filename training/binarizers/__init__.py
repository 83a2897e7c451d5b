"""Binarizers are values: modules that are handed to :class:`bitsr.training.layers.BinaryConv2d`."""

from bitsr.training.binarizers.activations import ActivationBinarizer, RSign, ScaledSign, Sign, scaled_sign
from bitsr.training.binarizers.lsq import LsqQuantizer, lsq
from bitsr.training.binarizers.residual import ResidualWeight
from bitsr.training.binarizers.weights import (
    LearnedScaleWeight,
    MeanScaleWeight,
    SignWeight,
    WeightBinarizer,
    hard_sign,
)

__all__ = [
    "ActivationBinarizer",
    "LearnedScaleWeight",
    "LsqQuantizer",
    "MeanScaleWeight",
    "RSign",
    "ResidualWeight",
    "ScaledSign",
    "Sign",
    "SignWeight",
    "WeightBinarizer",
    "hard_sign",
    "lsq",
    "scaled_sign",
]
