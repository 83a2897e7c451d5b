"""A network of float convolutions, additions and pixel shuffles as a .tflite in stock ops, without a converter between.

The way through ONNX takes any network, and ten seconds more for this kind.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from bitsr.export.captured import arguments, constant, fake, is_check, is_layout_copy, op_name
from bitsr.export.tflite.graph import Graph
from bitsr.export.tflite.signature import INPUT_NAMES, OUTPUT_NAME

_SHUFFLES = ("aten::pixel_shuffle", "bitsr::pixel_shuffle")


def from_convolutions(captured: ExportedProgram) -> bytes | None:
    """The .tflite of a captured network from one map to one map; ``None`` where it is made of other things, too.

    Maps are (1, H, W, C) with free H and W.
    """
    builder = _Builder(captured)
    for node in captured.graph_module.graph.nodes:
        if node.op == "call_function" and not builder.add(node):
            return None
    return builder.finished()


class _Builder:
    def __init__(self, captured: ExportedProgram) -> None:
        self._captured = captured
        self._graph = Graph.empty()
        nodes = captured.graph_module.graph.nodes
        self._inputs = [node for node in nodes if node.op == "placeholder" and constant(captured, node) is None]
        (output,) = (node for node in nodes if node.op == "output")
        self._outputs = [_uncopied(node) for node in output.args[0]]
        self._maps: dict[torch.fx.Node, int] = {}
        for node in self._inputs[:1]:
            self._maps[node] = self._map(node, INPUT_NAMES[0])

    def finished(self) -> bytes | None:
        if len(self._inputs) != 1 or len(self._outputs) != 1 or self._outputs[0] not in self._maps:
            return None
        return self._graph.finished(self._maps[self._inputs[0]], self._maps[self._outputs[0]])

    def add(self, node: torch.fx.Node) -> bool:
        """Write a call; False where there is no way to."""
        if is_check(node):
            return True
        if is_layout_copy(node):
            return self._copy(node)
        name = op_name(node.target)
        if name == "aten::conv2d":
            return self._convolve(node)
        if name == "aten::add":
            return self._sum(node)
        return name in _SHUFFLES and self._shuffle(node)

    def _copy(self, node: torch.fx.Node) -> bool:
        source = node.args[0]
        if not isinstance(source, torch.fx.Node) or source not in self._maps:
            return False
        self._maps[node] = self._maps[source]
        return True

    def _convolve(self, node: torch.fx.Node) -> bool:
        given = arguments(node)
        weight, bias = constant(self._captured, given["weight"]), constant(self._captured, given["bias"])
        if weight is None or given["input"] not in self._maps or (bias is None and given["bias"] is not None):
            return False
        side = weight.shape[2]
        plain = side % 2 == 1 and weight.shape[3] == side and given["groups"] == 1
        same = all(
            set(given[name]) == {value} for name, value in (("stride", 1), ("padding", side // 2), ("dilation", 1))
        )
        if not (plain and same):
            return False
        order = self._order(node)
        values = weight.detach().numpy()[order].transpose(0, 2, 3, 1)
        shifts = np.zeros(len(order), np.float32) if bias is None else bias.detach().numpy()[order]
        self._conv(self._maps[given["input"]], values, shifts, self._new(node), name=node.name)
        return True

    def _order(self, node: torch.fx.Node) -> NDArray[np.int64]:
        """Output channels as they are, or as the pixel shuffle behind them wants them in this format."""
        count = int(fake(node).shape[1])
        users = _readers(node)
        if len(users) != 1 or op_name(users[0].target) not in _SHUFFLES or users[0].args[0] is not node:
            return np.arange(count)
        area = _factor(users[0]) ** 2
        return np.arange(count).reshape(count // area, area).T.reshape(-1)

    def _conv(
        self, given: int, weight: NDArray[np.float32], bias: NDArray[np.float32], made: int, *, name: str
    ) -> None:
        options = self._graph.S.Conv2DOptionsT()
        options.padding, options.strideH, options.strideW = self._graph.S.Padding.SAME, 1, 1
        options.dilationHFactor, options.dilationWFactor = 1, 1
        inputs = [
            given,
            self._graph.add_constant(f"{name}/weight", np.ascontiguousarray(weight)),
            self._graph.add_constant(f"{name}/bias", bias),
        ]
        self._graph.ops.append(self._graph.builtin("CONV_2D", inputs, made, options))

    def _sum(self, node: torch.fx.Node) -> bool:
        given = arguments(node)
        operands = [given["self"], given["other"]]
        if given["alpha"] != 1 or any(one not in self._maps for one in operands):
            return False
        if len({int(fake(one).shape[1]) for one in operands}) != 1:
            return False
        self._add([self._maps[one] for one in operands], self._new(node))
        return True

    def _add(self, inputs: list[int], made: int) -> None:
        self._graph.ops.append(self._graph.builtin("ADD", inputs, made, self._graph.S.AddOptionsT()))

    def _shuffle(self, node: torch.fx.Node) -> bool:
        source, factor = node.args[0], _factor(node)
        skip = node.args[1] if op_name(node.target) == "bitsr::pixel_shuffle" else None
        assert isinstance(source, torch.fx.Node)
        # Only the convolution before it can have been written in the order of this format.
        if op_name(source.target) != "aten::conv2d" or len(_readers(source)) != 1 or source not in self._maps:
            return False
        deep = self._maps[source]
        if isinstance(skip, torch.fx.Node):
            if skip not in self._maps:
                return False
            deep = self._with_skip(deep, skip, factor, name=node.name)
        options = self._graph.S.DepthToSpaceOptionsT()
        options.blockSize = factor
        self._graph.ops.append(self._graph.builtin("DEPTH_TO_SPACE", [deep], self._new(node), options))
        return True

    def _with_skip(self, deep: int, skip: torch.fx.Node, factor: int, *, name: str) -> int:
        """The map before the shuffle with the skip added to each of a pixel's places, repeated by a 1x1 convolution."""
        channels = int(fake(skip).shape[1])
        repeat = np.tile(np.eye(channels, dtype=np.float32), (factor**2, 1))[:, None, None]
        shape = [1, -1, -1, channels * factor**2]
        repeated, both = self._graph.add_map(f"{name}/skip", shape), self._graph.add_map(f"{name}/sum", shape)
        self._conv(self._maps[skip], repeat, np.zeros(len(repeat), np.float32), repeated, name=f"{name}/skip")
        self._add([deep, repeated], both)
        return both

    def _new(self, node: torch.fx.Node) -> int:
        self._maps[node] = self._map(node, OUTPUT_NAME if node in self._outputs else node.name)
        return self._maps[node]

    def _map(self, node: torch.fx.Node, name: str) -> int:
        return self._graph.add_map(name, [1, -1, -1, int(fake(node).shape[1])])


def _readers(node: torch.fx.Node) -> list[torch.fx.Node]:
    return [user for user in node.users if not is_check(user)]


def _uncopied(node: torch.fx.Node) -> torch.fx.Node:
    """What a result is a copy of."""
    while is_layout_copy(node):
        source = node.args[0]
        assert isinstance(source, torch.fx.Node)
        node = source
    return node


def _factor(node: torch.fx.Node) -> int:
    given = arguments(node)
    return int(given["factor"] if "factor" in given else given["upscale_factor"])
