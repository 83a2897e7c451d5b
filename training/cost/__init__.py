"""Cost of networks: parameters, multiply-accumulates, bit operations, stored bytes, and how the papers add them up."""

from bitsr.training.cost.conventions import CONVENTIONS, Convention, convention
from bitsr.training.cost.counting import LayerCost, count_layers, model_cost

__all__ = ["CONVENTIONS", "Convention", "LayerCost", "convention", "count_layers", "model_cost"]
