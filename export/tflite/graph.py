"""The graph of a .tflite that can be changed: who makes a tensor, what is constant, new ops, and what is left over."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitsr.artifact.flatbuffer import pack, schema
from bitsr.export.tflite.signature import INPUT_NAMES, OUTPUT_NAME

_SCHEMA_VERSION = 3
_SIGNATURE = "serving_default"
# Version of a custom op's operator code; the framework knows no other.
_OPERATOR_VERSION = 1


# Ops that give one of their operands (by its place) in another shape, as converters write ``ones_like``.
_SPREADING = {"FILL": 1, "BROADCAST_TO": 0}
# Ops that converters leave between constants.
_FOLDED: dict[str, Callable[..., NDArray[Any]]] = {
    "NEG": np.negative,
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
}


class Graph:
    """A ``ModelT`` with one graph; ``ops`` are its operators in execution order."""

    def __init__(self, model: Any) -> None:
        self.S = schema()
        self.model = model
        self.graph = model.subgraphs[0]
        self.ops: list[Any] = self.graph.operators
        builtins = vars(self.S.BuiltinOperator).items()
        self._names: dict[int, str] = {value: key for key, value in builtins if isinstance(value, int)}
        self._producers = {int(tensor): op for op in self.ops for tensor in op.outputs}
        self._codes: dict[str, int] = {}
        types = self.S.TensorType
        self._dtypes: dict[int, Any] = {
            types.FLOAT32: np.float32,
            types.FLOAT16: np.float16,
            types.INT32: np.int32,
            types.INT64: np.int64,
            types.INT8: np.int8,
            types.INT16: np.int16,
            types.UINT8: np.uint8,
            types.BOOL: np.bool_,
        }

    @classmethod
    def empty(cls) -> "Graph":
        """A model without ops."""
        S = schema()
        model, subgraph = S.ModelT(), S.SubGraphT()
        subgraph.name, subgraph.tensors, subgraph.operators = b"main", [], []
        model.version, model.description = _SCHEMA_VERSION, b"bitsr"
        model.operatorCodes, model.subgraphs, model.buffers = [], [subgraph], [S.BufferT()]
        return cls(model)

    def finished(self, given: int, made: int) -> bytes:
        """The file of a network from the map ``given`` to the map ``made``, numbers of tensors."""
        self.graph.inputs, self.graph.outputs = np.array([given], np.int32), np.array([made], np.int32)
        signature = self.S.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = _SIGNATURE.encode(), 0
        signature.inputs = [self._named(INPUT_NAMES[0], given)]
        signature.outputs = [self._named(OUTPUT_NAME, made)]
        self.model.signatureDefs = [signature]
        return pack(self.model)

    def _named(self, name: str, tensor: int) -> Any:
        item = self.S.TensorMapT()
        item.name, item.tensorIndex = name.encode(), tensor
        return item

    def name(self, op: Any) -> str:
        """``CONV_2D``; of a custom op ``CUSTOM``."""
        code = self.model.operatorCodes[op.opcodeIndex]
        builtin: int = max(code.builtinCode, code.deprecatedBuiltinCode)
        return self._names[builtin]

    def producer(self, tensor: int) -> Any | None:
        """The op of the file that writes a tensor, as it was before any change."""
        return self._producers.get(int(tensor))

    def dtype(self, tensor: int) -> Any:
        """Type of a tensor in NumPy; ``None`` for those that it has not."""
        return self._dtypes.get(self.graph.tensors[int(tensor)].type)

    def activation(self, op: Any) -> str:
        """Name of an op's fused activation, ``NONE`` where it has none."""
        number = getattr(op.builtinOptions, "fusedActivationFunction", 0)
        kinds = vars(self.S.ActivationFunctionType).items()
        return next(key for key, value in kinds if value == number and isinstance(value, int))

    def tensor_name(self, tensor: int) -> str:
        found = self.graph.tensors[int(tensor)].name
        return found.decode() if isinstance(found, bytes) else str(found)

    def shape(self, tensor: int) -> list[int]:
        """Dimensions, -1 where they are dynamic."""
        found = self.graph.tensors[int(tensor)]
        shape = found.shape if found.shapeSignature is None else found.shapeSignature
        return [] if shape is None else [int(side) for side in shape]

    def constant(self, tensor: int) -> NDArray[Any] | None:
        """The constant behind a tensor, float16 and int8 weights as float32; ``None`` if it is computed.

        Constants that only differ in shape are not spread: theirs may be that of one number.
        """
        op = self.producer(tensor)
        if op is not None and self.name(op) == "DEQUANTIZE":
            inner = self.constant(op.inputs[0])
            return None if inner is None else inner.astype(np.float32)
        if op is not None and self.name(op) in _SPREADING:
            return self.constant(op.inputs[_SPREADING[self.name(op)]])
        if op is not None and self.name(op) == "ZEROS_LIKE":
            return np.zeros((), self._dtypes.get(self.graph.tensors[int(tensor)].type, np.float32))
        if op is not None and self.name(op) in _FOLDED and self.activation(op) == "NONE":
            given = [self.constant(operand) for operand in op.inputs]
            known = [array for array in given if array is not None]
            return _FOLDED[self.name(op)](*known) if len(known) == len(given) else None
        found = self.graph.tensors[int(tensor)]
        data = self.model.buffers[found.buffer].data
        if data is None or found.type not in self._dtypes:
            return None
        shape = [] if found.shape is None else [int(side) for side in found.shape]
        array = np.frombuffer(np.asarray(data, np.uint8).tobytes(), self._dtypes[found.type]).reshape(shape)
        quantization = found.quantization
        if found.type != self.S.TensorType.INT8 or quantization is None or quantization.scale is None:
            return array
        channels = [1] * array.ndim
        if array.ndim:
            channels[quantization.quantizedDimension] = -1
        scale = np.asarray(quantization.scale, np.float32).reshape(channels)
        zero = np.asarray(0 if quantization.zeroPoint is None else quantization.zeroPoint, np.float32)
        return (array.astype(np.float32) - zero.reshape(channels)) * scale

    def add_constant(self, name: str, array: NDArray[Any]) -> int:
        """A new constant tensor of float32, int32 or int64; its number."""
        buffer = self.S.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        kind = next(kind for kind, dtype in self._dtypes.items() if array.dtype == dtype)
        return self._add_tensor(name, kind, list(array.shape), len(self.model.buffers) - 1)

    def add_map(self, name: str, shape: list[int], *, dtype: Any = np.float32) -> int:
        """A new computed tensor; -1 where a dimension is dynamic. Its number."""
        kind = next(kind for kind, known in self._dtypes.items() if known is dtype)
        return self._add_tensor(name, kind, shape, 0)

    def _add_tensor(self, name: str, kind: int, shape: list[int], buffer: int) -> int:
        tensor = self.S.TensorT()
        tensor.name, tensor.type, tensor.buffer = name.encode(), kind, buffer
        tensor.shape = np.array([max(side, 1) for side in shape], np.int32)
        tensor.hasRank = True  # else LiteRT takes the sides for fixed, whatever the signature says
        if -1 in shape:
            tensor.shapeSignature = np.array(shape, np.int32)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def builtin(self, name: str, inputs: list[int], output: int, options: Any = None) -> Any:
        """A new op of LiteRT's own, ``RESHAPE``; ``options`` is its ``...OptionsT``."""
        op = self._operator(name, custom=False, inputs=inputs, outputs=[output])
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            op.builtinOptions, op.builtinOptionsType = options, getattr(self.S.BuiltinOptions, kind)
        return op

    def custom(self, name: str, inputs: list[int], outputs: list[int], options: dict[str, int]) -> Any:
        """A new custom op; its options become a FlexBuffers map."""
        from flatbuffers import flexbuffers

        op = self._operator(name, custom=True, inputs=inputs, outputs=outputs)
        op.customOptions = np.frombuffer(bytes(flexbuffers.Dumps(options)), np.uint8)
        op.customOptionsFormat = self.S.CustomOptionsFormat.FLEXBUFFERS
        return op

    def _operator(self, name: str, *, custom: bool, inputs: list[int], outputs: list[int]) -> Any:
        if name not in self._codes:
            code = self.S.OperatorCodeT()
            kind = "CUSTOM" if custom else name
            code.builtinCode = getattr(self.S.BuiltinOperator, kind)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            code.customCode, code.version = name.encode() if custom else None, _OPERATOR_VERSION
            self.model.operatorCodes.append(code)
            self._codes[name] = len(self.model.operatorCodes) - 1
        op = self.S.OperatorT()
        op.opcodeIndex = self._codes[name]
        op.inputs, op.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        return op

    def replace(self, new_ops: dict[int, list[Any]]) -> None:
        """Put the new ops in the places of old ones, by index, and remove what nothing reads any more."""
        self.ops = [new for index, op in enumerate(self.ops) for new in new_ops.get(index, [op])]
        results = {int(tensor) for tensor in self.graph.outputs}
        kept: list[Any] = []
        for op in reversed(self.ops):
            if any(int(tensor) in results for tensor in op.outputs):
                results.update(int(tensor) for tensor in op.inputs)
                kept.append(op)
        self.graph.operators = self.ops = kept[::-1]
        used = results | {int(t) for op in kept for t in op.outputs} | {int(t) for t in self.graph.inputs}
        tensors = sorted(tensor for tensor in used if tensor >= 0)
        number = {old: new for new, old in enumerate(tensors)}
        self.graph.tensors = [self.graph.tensors[old] for old in tensors]
        for op in kept:
            op.inputs = np.array([number.get(int(t), -1) for t in op.inputs], np.int32)
            op.outputs = np.array([number[int(t)] for t in op.outputs], np.int32)
        self.graph.inputs = np.array([number[int(t)] for t in self.graph.inputs], np.int32)
        self.graph.outputs = np.array([number[int(t)] for t in self.graph.outputs], np.int32)
        for signature in self.model.signatureDefs or []:
            for item in [*signature.inputs, *signature.outputs]:
                item.tensorIndex = number[item.tensorIndex]
        self._drop_buffers()

    def _drop_buffers(self) -> None:
        holders = [*self.graph.tensors, *(self.model.metadata or [])]
        old = [0, *sorted({holder.buffer for holder in holders} - {0})]  # buffer 0 is the empty one
        number = {buffer: new for new, buffer in enumerate(old)}
        self.model.buffers = [self.model.buffers[buffer] for buffer in old]
        for holder in holders:
            holder.buffer = number[holder.buffer]
        self.model.metadataBuffer = None
