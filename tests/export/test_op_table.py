"""The op table is that of docs/formats.md, and says what PyTorch's schemas say."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import bitsr.export.ops  # noqa: F401 (registers the ops)
from bitsr.artifact.program import OPS, TORCH_OPS, OpInfo, ValueKind

TYPES = {"f32": "<f4", "u64": "<u8", "i8": "i1"}


def rows(repository: Path) -> dict[str, list[str]]:
    """The op table of docs/formats.md: "<number> <name>" -> its cells."""
    text = (repository / "docs" / "formats.md").read_text(encoding="utf-8")
    table = text.partition("| kind | inputs |")[2].split("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {row[0]: row[1:] for row in cells}


def names(cell: str) -> list[str]:
    """Names in a cell: shapes, types and brackets left out."""
    plain = re.sub(r"\([^)]*\)|\[[^\]]*\]", "", cell)
    return [words.split()[0] for words in plain.split(",") if words.split()]


def test_it_is_the_table_of_the_architecture(repository: Path) -> None:
    written = rows(repository)
    assert list(written) == [f"{info.kind} {info.kind.name.lower()}" for info in OPS.values()]
    for info, (inputs, outputs, constants, attributes) in zip(OPS.values(), written.values(), strict=True):
        assert names(inputs) == [item.name for item in info.inputs]
        assert names(outputs) == [item.name for item in info.outputs]
        assert names(constants) == [item.name for item in info.constants]
        assert names(attributes) == list(info.attributes)
        for name, short in re.findall(r"(\w+) (f32|u64|i8)\b", constants):
            assert next(item.dtype for item in info.constants if item.name == name) == TYPES[short]


@pytest.mark.parametrize("name", [name for name in TORCH_OPS if name.startswith("bitsr::")])
def test_its_names_are_those_of_the_schemas(name: str) -> None:
    schema = getattr(torch.ops.bitsr, name.partition("::")[2]).default._schema
    taken = {argument.name: argument.type.isSubtypeOf(torch._C.TensorType.get()) for argument in schema.arguments}
    info = TORCH_OPS[name]
    tensors = {item.name for item in (*info.inputs, *info.constants)}
    assert tensors == {argument for argument, is_tensor in taken.items() if is_tensor} | {
        argument.name for argument in schema.arguments if str(argument.type) == "Optional[Tensor]"
    }


def test_operands_and_masks_are_each_others_inverse() -> None:
    for info in OPS.values():
        inputs, constants = [item.name for item in info.inputs], [item.name for item in info.constants]
        for mask in range(1 << len(inputs) + len(constants)):
            taken = info.operands(mask)
            assert info.operand_mask(*taken) == mask
        assert info.operands((1 << len(inputs) + len(constants)) - 1) == (inputs, constants)


def test_a_gates_taps_lie_in_the_order_of_a_row() -> None:
    info: OpInfo = TORCH_OPS["bitsr::spatial_gate"]
    weight = info.constants[0]
    array = np.arange(2 * 3 * 3, dtype=np.float32).reshape(1, 2, 3, 3)
    made = weight.of_torch(array)
    assert made.shape == weight.shape({"kernel_size": 3}, 2) == (3, 3, 2)
    assert made[1, 2, 0] == array[0, 0, 1, 2]
    assert info.outputs[0].kind is ValueKind.PLANE


def test_words_of_bits_become_unsigned() -> None:
    bits = next(item for item in TORCH_OPS["bitsr::binary_conv2d"].constants if item.name == "weight_bits")
    assert bits.of_torch(np.full((1, 1, 1, 1, 1), -1, np.int64)).ravel()[0] == np.uint64(2**64 - 1)
