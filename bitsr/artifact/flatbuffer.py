"""The .tflite file through its schema: aligned constants, embedded metadata, what its graph consists of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from bitsr.artifact.tflite import IDENTIFIER, METADATA
from bitsr.common.errors import ArtifactError, MissingExtraError

# LiteRT's C API wants it of constants; a memory-mapped file begins at a page.
ALIGNMENT = 64
Result = TypeVar("Result")


@dataclass(frozen=True)
class GraphOp:
    """One op: a builtin's name or a custom op's, and the numbers of the tensors that it reads and writes."""

    name: str
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    plain_add: bool = False


def schema() -> Any:
    """The Python classes of TensorFlow Lite's flatbuffer schema."""
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise MissingExtraError("ai-edge-litert", extra="litert", purpose="Reading the graph of a .tflite") from error
    return schema_py_generated


def finish(content: bytes, *, metadata: str) -> bytes:
    """Align every constant, drop what nobody reads and put ``metadata`` in; an entry of ours is replaced."""
    S = schema()
    model = parse_model(content, name="the converted model")
    _drop_unread(model.subgraphs[0])
    entry = next((item for item in model.metadata or [] if _text(item.name) == METADATA), None)
    if entry is None:
        entry = S.MetadataT()
        entry.name = METADATA.encode()
        entry.buffer = len(model.buffers)
        model.buffers.append(S.BufferT())
        model.metadata = [*(model.metadata or []), entry]
    model.buffers[entry.buffer].data = np.frombuffer(metadata.encode(), np.uint8)
    return pack(model)


def _drop_unread(graph: Any) -> None:
    """The converter's names of inner tensors and its empty quantization: 3 % of the file. A signature has its own."""
    named = {int(tensor) for tensor in (*graph.inputs, *graph.outputs)}
    for number, tensor in enumerate(graph.tensors):
        if number not in named:
            tensor.name = None
        found = tensor.quantization
        if found is not None and found.scale is None and found.min is None and found.details is None:
            tensor.quantization = None


def parse_model(content: bytes, *, name: str) -> Any:
    """The file as a ``ModelT``, which can be changed and packed; errors as :func:`graph_ops`."""

    def read(data: bytes) -> Any:
        model = schema().ModelT.InitFromPackedBuf(data)
        graphs = model.subgraphs
        if not (graphs and model.buffers and all(graph.tensors and graph.operators for graph in graphs)):
            raise ValueError("it holds no graph")
        return model

    return _parsed(content, read, name=name)


def pack(model: Any) -> bytes:
    """Serialize a ``ModelT`` with every buffer's data at a multiple of 64."""
    import flatbuffers

    class AlignedBuffer(schema().BufferT):  # type: ignore[misc]
        """The generated class aligns data to 4 bytes only."""

        def Pack(self, builder: Any) -> Any:  # noqa: N802 (the generated code calls it)
            plain = self.data
            if plain is None or len(plain) == 0:
                return super().Pack(builder)
            raw = np.asarray(plain, np.uint8).tobytes()
            builder.StartVector(1, len(raw), ALIGNMENT)
            builder.head -= len(raw)
            builder.Bytes[builder.head : builder.head + len(raw)] = raw
            vector = builder.EndVector()
            S = schema()
            S.BufferStart(builder)
            S.BufferAddData(builder, vector)
            return S.BufferEnd(builder)

    for index, buffer in enumerate(model.buffers):
        aligned = AlignedBuffer()
        aligned.__dict__.update(buffer.__dict__)
        model.buffers[index] = aligned
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def graph_ops(content: bytes, *, name: str) -> list[GraphOp]:
    """The ops of the first graph in execution order; ``name`` names the file in errors.

    Raises:
        ArtifactError: the file is no .tflite, or broken.
    """
    S = schema()
    names = {value: key for key, value in vars(S.BuiltinOperator).items() if isinstance(value, int)}

    def read(data: bytes) -> list[GraphOp]:
        model = S.ModelT.InitFromPackedBuf(data)
        graph = model.subgraphs[0]
        found = []
        for op in graph.operators:
            code = model.operatorCodes[op.opcodeIndex]
            builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
            custom = builtin == S.BuiltinOperator.CUSTOM
            inputs = tuple(int(i) for i in op.inputs)
            found.append(
                GraphOp(
                    _text(code.customCode) if custom else names[builtin],
                    custom,
                    inputs,
                    tuple(int(i) for i in op.outputs),
                    plain_add=builtin == S.BuiltinOperator.ADD and _is_plain_add(model, graph, op),
                )
            )
        return found

    return _parsed(content, read, name=name)


def _is_plain_add(model: Any, graph: Any, op: Any) -> bool:
    """The delegate's rule (runtime/tflite/partition.cpp): two computed maps of one shape, no activation."""
    tensors = [graph.tensors[int(i)] for i in [*op.inputs, *op.outputs]]
    shapes = [[int(v) for v in (t.shape if t.shapeSignature is None else t.shapeSignature)] for t in tensors]
    computed = all(model.buffers[t.buffer].data is None for t in tensors)
    activation = op.builtinOptions.fusedActivationFunction if op.builtinOptions is not None else 0
    return computed and activation == 0 and len(shapes[0]) == 4 and all(shape == shapes[0] for shape in shapes)


def _parsed(content: bytes, read: Callable[[bytes], Result], *, name: str) -> Result:
    if len(content) < 8 or content[4:8] != IDENTIFIER:
        raise ArtifactError(
            f"{name} is no .tflite: expected the identifier {IDENTIFIER.decode()}, got {content[4:8]!r}; "
            "export the model again"
        )
    try:
        return read(content)
    except Exception as error:  # the generated readers follow broken offsets into whatever error comes first
        raise ArtifactError(f"{name} is corrupt or truncated ({error}); export the model again") from error


def _text(name: Any) -> str:
    if name is None:
        return ""
    return name.decode() if isinstance(name, bytes) else str(name)
