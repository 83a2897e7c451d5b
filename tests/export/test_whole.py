"""Networks of our ops alone are lowered without any converter, and computed to the bit in both formats."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import bitsr
from bitsr.artifact.formats import FORMATS
from bitsr.export.deploy.layers import (
    ChannelGate,
    ChannelShiftGate,
    FusedBinaryConv2d,
    PixelShuffle,
    ResidualBinaryConv2d,
    SpatialGate,
)
from bitsr.export.verification import run_tensors

SIDES = [(1, 1), (1, 9), (17, 5), (24, 31)]


def _binary(inputs: int, outputs: int, *, kernel: int = 3, threshold: Tensor | None = None) -> FusedBinaryConv2d:
    signs = torch.where(torch.rand(outputs, inputs, kernel, kernel) < 0.5, -1.0, 1.0)
    return FusedBinaryConv2d(
        signs, torch.rand(outputs) / inputs, threshold=threshold, shift=torch.randn(outputs), slope=torch.rand(outputs)
    )


class Whole(nn.Module):
    """Every op but the quantized ones, a layout change, an addition, results of two kinds."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.head = _binary(3, 20, threshold=torch.full((3,), 0.5))
        self.body = ResidualBinaryConv2d(
            _binary(20, 20),
            channel_gate=ChannelShiftGate(nn.Linear(20, 4), nn.Linear(4, 40)),
            spatial_gate=SpatialGate(nn.Conv2d(20, 1, 3, padding=1)),
        )
        self.gain = ChannelGate(nn.Linear(20, 4), nn.Linear(4, 20), sigmoid=True)
        self.mix = _binary(20, 20, kernel=1, threshold=torch.zeros(20))
        self.tail = _binary(20, 12, threshold=torch.zeros(20))
        self.shuffle = PixelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x).to(memory_format=torch.channels_last)
        y = y + self.body(y)
        y = self.mix(y, channel_gain=self.gain(y))
        return self.shuffle(self.tail(y), x).to(memory_format=torch.contiguous_format)


class WithFloat(nn.Module):
    """The same with one float layer behind."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = Whole()
        self.last = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.whole(x))
        return y


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("whole")
    made = bitsr.export_model(Whole().eval(), output=folder, formats=("pte", "tflite"), name="whole", scale=2)
    for kind, file in made.files.items():
        assert file.table.partitions == {"bitsr kernels": 1}, kind
        assert {row.place for row in file.table.rows} == {"bitsr kernels"}
        assert file.verification is not None
        assert file.verification.largest_difference == 0
    return {kind: file.path for kind, file in made.files.items()}


@pytest.mark.parametrize("kind", ["pte", "tflite"])
@pytest.mark.parametrize("sides", SIDES)
def test_the_artifact_computes_the_deploy_form_to_the_bit(
    kind: str, sides: tuple[int, int], exported: dict[str, Path]
) -> None:
    x = torch.rand(1, 3, *sides, generator=torch.Generator().manual_seed(sides[0]))
    network = FORMATS[kind].load(exported[kind].read_bytes(), name=kind, threads=None, inputs=1)
    with torch.no_grad():
        assert torch.equal(run_tensors(network, x), Whole()(x))


def test_a_tflite_needs_no_tensorflow(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import bitsr; from test_whole import Whole\n"
        "bitsr.export_model(Whole().eval(), output=sys.argv[2], formats=('tflite',), name='whole', scale=2)\n"
        "assert not {'tensorflow', 'onnx', 'onnx2tf'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)], check=True)


@pytest.mark.parametrize("kind", ["pte", "tflite"])
def test_a_float_layer_stays_with_the_framework(kind: str, tmp_path: Path) -> None:
    made = bitsr.export_model(WithFloat().eval(), output=tmp_path, formats=(kind,), name="mixed", scale=2)
    places = {row.op: row.place for row in made.files[kind].table.rows}
    assert len(set(places.values())) > 1
    assert all(place == "bitsr kernels" for op, place in places.items() if op.startswith("bitsr::"))


def test_the_op_of_a_whole_program_is_for_the_delegate_alone() -> None:
    import bitsr.export.executorch.whole

    with pytest.raises(bitsr.BitsrError, match="computed by our delegate alone"):
        torch.ops.bitsr.program(torch.zeros(1, 3, 4, 4), torch.zeros(8, dtype=torch.uint8), 3, 2)
