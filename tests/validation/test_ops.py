"""Golden values and the per-op tier: what is replayed, what is exact, and that a fault is named."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bitsr.artifact.program import OpKind, read_program, write_program
from bitsr.common.errors import ArtifactError
from bitsr.export import ops
from bitsr.export.parity.artifact_ops import artifact_ops
from bitsr.export.parity.matching import pair
from bitsr.export.parity.recording import record
from bitsr.validation.errors import TargetError
from bitsr.validation.parity.op_cases import OpCase, make_op_cases
from bitsr.validation.parity.ops import golden_picture, judge, make_cases, replay
from bitsr.validation.parity.reported import calls_of_reported
from bitsr.validation.targets.host import HostTarget


@pytest.fixture(scope="module")
def cases(exported: Path, network: nn.Module) -> list[OpCase]:
    return make_cases(artifact_ops(exported), record(network, golden_picture(seed=1)).calls)


def test_every_op_is_recorded_with_its_module(network: nn.Module) -> None:
    x = golden_picture(seed=1)
    recording = record(network, x)
    calls, y = recording.calls, recording.output
    with torch.no_grad():
        assert torch.equal(y, network(x))
    layers = [call for call in calls if call.kind is OpKind.BINARY_CONV2D]
    assert [call.module for call in layers] == [
        "body.body.0.0.conv",
        "body.body.0.1.conv",
        "body.body.1.0.conv",
        "body.body.1.1.conv",
    ]
    again = ops.binary_conv2d(**layers[0].arguments)
    assert torch.equal(again, layers[0].results[0])
    # Hooks and recorder are gone.
    assert len(record(network, x).calls) == len(calls)


def test_a_binary_layer_gives_three_kinds_of_cases(cases: list[OpCase], exported: Path) -> None:
    layers = [op for op in artifact_ops(exported) if op.op.kind is OpKind.BINARY_CONV2D]
    own = [case for case in cases if case.kind is OpKind.BINARY_CONV2D]
    assert [case.check for case in own] == ["accumulators of plane 0", "packed bits", "values"] * len(layers)
    for case in cases:
        assert read_program(write_program(case.program)).ops[0].kind is case.kind
    accumulators, bits = own[0].expected[0], own[1].expected[0]
    assert np.array_equal(accumulators, np.rint(accumulators))
    assert set(np.unique(bits)) <= {-1.0, 1.0}


def test_the_python_runtime_passes_every_case(cases: list[OpCase]) -> None:
    target = HostTarget()
    results = replay(target, cases)
    target.close()
    assert len(results) == len(cases) > 12
    assert [result for result in results if result.wrong] == []
    assert {result.largest_error for result in results} == {0.0}
    assert {"binary_conv2d", "channel_gate", "spatial_gate"} <= {result.kind for result in results}


def test_a_changed_weight_bit_is_named(faulty: Path, network: nn.Module) -> None:
    cases = make_cases(artifact_ops(faulty), record(network, golden_picture(seed=1)).calls)
    target = HostTarget()
    results = replay(target, cases)
    target.close()
    wrong = [result for result in results if result.wrong]
    assert {result.module for result in wrong} == {"body.body.0.1.conv"}
    accumulators = next(result for result in wrong if result.check.startswith("accumulators"))
    assert accumulators.worst is not None
    assert accumulators.worst.at[1] == 3  # the output channel
    assert accumulators.largest_error == 2.0  # one product has the other sign


def test_one_unit_in_the_last_place_is_wrong(cases: list[OpCase]) -> None:
    for case in cases:
        outputs = [expected.copy() for expected in case.expected]
        assert judge(case, outputs).wrong == 0
        place = tuple(side - 1 for side in outputs[-1].shape)
        outputs[-1][place] = np.nextafter(outputs[-1][place], np.float32(np.inf))
        result = judge(case, outputs)
        assert (result.wrong, tuple(result.worst.at)) == (1, place)
        outputs[-1][place] = np.nan
        result = judge(case, outputs)
        assert (result.wrong, result.worst.got) == (1, None)


def test_only_one_op_is_replayed_when_asked(exported: Path, network: nn.Module) -> None:
    calls = record(network, golden_picture(seed=2)).calls
    some = make_cases(artifact_ops(exported), calls, only=2)
    assert {case.index for case in some} == {2}
    assert make_cases(artifact_ops(exported), calls, only=999) == []


def test_another_network_is_refused(exported: Path, network: nn.Module) -> None:
    calls = record(network, golden_picture(seed=1)).calls
    own = artifact_ops(exported)
    with pytest.raises(ArtifactError, match="export the model again"):
        pair(own, [call for call in calls if call.module != "body.body.0.0.conv"])
    index, op, call = next(entry for entry in pair(own, calls) if entry[2].kind is OpKind.BINARY_CONV2D)
    changed = type(call)(call.index, call.kind, call.module, {**call.arguments, "residual": None}, call.results)
    with pytest.raises(TargetError, match="differ in input 4"):
        make_op_cases(index, op, changed)


def test_golden_pictures_follow_their_seed() -> None:
    first, again, other = (golden_picture(seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert 0 <= float(first.min()) <= float(first.max()) <= 1


@pytest.mark.parametrize("cpu", ["cortex-a53", "cortex-a76"])
def test_arm64_passes_every_case(cases: list[OpCase], cpu: str) -> None:
    from bitsr.validation.errors import EnvironmentMissingError
    from bitsr.validation.targets.local import qemu

    if shutil.which("qemu-aarch64-static") is None:
        pytest.skip("needs qemu-user-static")
    try:
        target = qemu(cpu)
    except EnvironmentMissingError as error:
        pytest.skip(str(error))
    results = replay(target, cases)
    target.close()
    assert [result for result in results if result.wrong] == []


@pytest.mark.parametrize("kind", [OpKind.BINARY_CONV2D, OpKind.CHANNEL_GATE, OpKind.SPATIAL_GATE])
def test_ops_that_change_places_are_matched_by_their_constants(
    exported: Path, network: nn.Module, kind: OpKind
) -> None:
    calls = record(network, golden_picture(seed=1)).calls
    own = artifact_ops(exported)
    places = [place for place, item in enumerate(own) if item.op.kind is kind]
    own[places[0]], own[places[1]] = own[places[1]], own[places[0]]
    expected = [call.index for call in calls if call.kind is kind]
    matched = [call.index for _, item, call in pair(own, calls) if item.op.kind is kind]
    assert matched == [expected[1], expected[0], *expected[2:]]


def test_every_op_of_ours_is_replayed_where_the_framework_takes_some_of_its_kind(
    exported: Path, network: nn.Module
) -> None:
    calls = record(network, golden_picture(seed=1)).calls
    own = artifact_ops(exported)
    (place,) = (place for place, item in enumerate(own) if item.op.kind is OpKind.PIXEL_SHUFFLE)
    shuffle = next(call for call in calls if call.kind is OpKind.PIXEL_SHUFFLE)
    other = dataclasses.replace(shuffle, arguments={**shuffle.arguments, "factor": 3})
    assert {index for index, _, _ in pair(own, [other, *calls, shuffle])} == set(range(len(own)))
    with pytest.raises(ArtifactError, match=rf"nothing matches its op {place} \(pixel_shuffle\)"):
        pair(own, [other if call is shuffle else call for call in calls])


def test_an_op_that_a_file_holds_once_stands_for_equal_calls(exported: Path, network: nn.Module) -> None:
    calls = record(network, golden_picture(seed=1)).calls
    own = artifact_ops(exported)
    gate = next(call for call in calls if call.kind is OpKind.SPATIAL_GATE)
    again = dataclasses.replace(gate, index=len(calls))
    pairs = pair(own, [*calls, again])
    assert len(pairs) == len(own) + 1
    assert pairs[-1][2] is again
    assert pairs[-1][0] == next(index for index, _, call in pairs if call is gate)
    other = dataclasses.replace(again, arguments={**gate.arguments, "bias": gate.arguments["bias"] + 1})
    with pytest.raises(ArtifactError, match="nothing matches the network's"):
        pair(own, [*calls, other])


def test_reported_ops_are_matched_as_those_of_the_file(exported: Path, network: nn.Module) -> None:
    """Layers of equal shape that changed places in the artifact: the reports follow the file, not the network."""
    calls = record(network, golden_picture(seed=1)).calls
    own = artifact_ops(exported)
    first, second = [place for place, item in enumerate(own) if item.op.kind is OpKind.BINARY_CONV2D][:2]
    own[first], own[second] = own[second], own[first]
    reported = [(f"0/{place}", item.op.kind.name.lower()) for place, item in enumerate(own)]
    found = calls_of_reported(reported, pair(own, calls), calls)
    layers = [call.module for call in calls if call.kind is OpKind.BINARY_CONV2D]
    assert (found[f"0/{first}"].module, found[f"0/{second}"].module) == (layers[1], layers[0])
    with pytest.raises(TargetError, match="the runner reports"):
        calls_of_reported([*reported, ("1/0", "binary_conv2d")], pair(own, calls), calls)
