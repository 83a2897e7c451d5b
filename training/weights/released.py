"""Names of the tensors in checkpoints that papers' code writes, beside ours.

Each layout says, for a network of ours, which tensor of the checkpoint becomes which of its tensors. The names are
those of the public code: BBCU (Zj-BinXia/BBCU, ``bbcul_arch.py``, ``bbcum_arch.py``), E2FIF (pppLang/E2FIF,
``edsr_e2fif.py``), BI-DiffSR (zhengchen1999/BI-DiffSR, ``unet_BI_DiffSR_arch.py``), and the block of ReActNet
(liuzechun/ReActNet, ``birealnet.py``) as the body of the backbone of BasicSR or EDSR. Their signs are ``torch.sign``,
which is 0 at 0; ours is +1 there.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bitsr.training.layers import DIV2K_MEAN, EDSR_RANGE
from bitsr.training.models import SuperResolutionModel
from bitsr.training.models.backbones import LightBackbone, SrResNet
from bitsr.training.models.bidiffsr import AddFusion, BiConv, BiDiffSr, ResBlock

State = dict[str, Tensor]


@dataclass(frozen=True)
class Entry:
    """``ours`` is made from ``theirs`` by ``convert``, which takes them in order; ``ours=""`` only consumes them."""

    ours: str
    theirs: tuple[str, ...]
    convert: Callable[[list[Tensor]], Tensor]


@dataclass(frozen=True)
class Layout:
    """A way in which public code names the tensors of a network.

    ``fits(names)`` recognises a checkpoint, ``families`` are ids without their scale that it may be of, and
    ``entries(state, model)`` the tensors of a model of ours. ``refusal(state)`` says why a checkpoint of this layout is
    no network of ours, or nothing.
    """

    name: str
    families: tuple[str, ...]
    fits: Callable[[set[str]], bool]
    entries: Callable[[State, SuperResolutionModel], Iterator[Entry]]
    refusal: Callable[[State], str] = lambda _: ""


def same(ours: str, theirs: str) -> Entry:
    return Entry(ours, (theirs,), lambda given: given[0])


def vector(ours: str, theirs: str) -> Entry:
    """(1, C, 1, 1) -> (C,)."""
    return Entry(ours, (theirs,), lambda given: given[0].flatten())


def _parameters(ours: str, theirs: str, *names: str) -> Iterator[Entry]:
    for name in names or ("weight", "bias"):
        yield same(f"{ours}.{name}", f"{theirs}.{name}")


def _norm(ours: str, theirs: str) -> Iterator[Entry]:
    return _parameters(ours, theirs, "weight", "bias", "running_mean", "running_var", "num_batches_tracked")


# --- BBCU ---


def _bbcu_unit(ours: str, theirs: str) -> Iterator[Entry]:
    """``LearnableBias`` adds what our threshold takes away."""
    yield Entry(f"{ours}.conv.activation_binarizer.shift", (f"{theirs}.move0.bias",), lambda given: -given[0])
    yield same(f"{ours}.conv.weight", f"{theirs}.binary_conv.weight")
    yield vector(f"{ours}.rprelu.shift_before", f"{theirs}.relu.pr_bias0.bias")
    yield same(f"{ours}.rprelu.prelu.weight", f"{theirs}.relu.pr_prelu.weight")
    yield vector(f"{ours}.rprelu.shift_after", f"{theirs}.relu.pr_bias1.bias")


def _basicsr_ends(model: SrResNet, *, binary_upsampler: bool) -> Iterator[Entry]:
    """Everything but the body of a network with the names of BasicSR's ``MSRResNet``."""
    yield from _parameters("head", "conv_first")
    for number in range(len(model.stages)):
        if binary_upsampler:
            yield from _bbcu_unit(f"stages.{number}", f"upconv{number + 1}")
        else:
            yield from _parameters(f"stages.{number}.conv", f"upconv{number + 1}")
    if binary_upsampler:
        yield from _bbcu_unit("conv_hr", "conv_hr")
    else:
        yield from _parameters("conv_hr", "conv_hr")
    yield from _parameters("conv_last", "conv_last")


def _bbcu(_: State, model: SuperResolutionModel) -> Iterator[Entry]:
    assert isinstance(model, SrResNet)
    yield from _basicsr_ends(model, binary_upsampler=not isinstance(model.conv_hr, nn.Conv2d))
    for number in range(_length(model.body)):
        yield from _bbcu_unit(f"body.{number}", f"body.{number // 2}.body.{number % 2}")


# --- E2FIF ---


def _e2fif(state: State, model: SuperResolutionModel) -> Iterator[Entry]:
    assert isinstance(model, LightBackbone)
    yield from _edsr_ends(state)
    for number in range(_length(model.body)):
        for unit in (1, 2):
            yield from _parameters(f"body.{number}.unit{unit}.conv", f"body.{number}.conv{unit}.0")
            yield from _norm(f"body.{number}.unit{unit}.norm", f"body.{number}.conv{unit}.1")


def _edsr_ends(state: State) -> Iterator[Entry]:
    """Everything but the body; the means are constants of ours, see :func:`_edsr_refusal`."""
    head = "head.0.conv1.0" if "head.0.conv1.0.weight" in state else "head.0"
    yield from _parameters("head", head)
    yield from _parameters("tail", "tail.0")
    for name in ("sub_mean.weight", "sub_mean.bias", "add_mean.weight", "add_mean.bias"):
        if name in state:
            yield Entry("", (name,), lambda given: given[0])


def _edsr_refusal(state: State) -> str:
    """It computes on luminance, or subtracts another mean, or of another range, than networks of ours do."""
    heads = [state[name] for name in ("head.0.conv1.0.weight", "head.0.weight") if name in state]
    if heads and heads[0].dim() == 4 and heads[0].shape[1] == 1:
        return "its head takes one colour channel (it upscales luminance alone), networks here take RGB"
    mean = torch.tensor(DIV2K_MEAN) * EDSR_RANGE
    for name, wanted in (("sub_mean", -mean), ("add_mean", mean)):
        bias, weight = state.get(f"{name}.bias"), state.get(f"{name}.weight")
        if bias is not None and (bias.shape != wanted.shape or not torch.allclose(bias, wanted, atol=0.01)):
            return (
                f"its {name}.bias is {[round(value, 2) for value in bias.flatten().tolist()]}, expected "
                f"{[round(value, 2) for value in wanted.tolist()]}: the mean of DIV2K for values of 0 to 255"
            )
        if weight is not None and not torch.equal(weight.reshape(weight.shape[0], -1), torch.eye(weight.shape[0])):
            return f"its {name}.weight divides the colours by a deviation, which networks here do not"
    return ""


# --- ReActNet's block ---

_UNIT = re.compile(r"(body\..+)\.binary_conv\.weights?")


def _reactnet(state: State, model: SuperResolutionModel) -> Iterator[Entry]:
    if isinstance(model, SrResNet):
        yield from _basicsr_ends(model, binary_upsampler=False)
    else:
        yield from _edsr_ends(state)
    places = sorted((match[1] for name in state if (match := _UNIT.fullmatch(name))), key=_natural)
    assert isinstance(model, SrResNet | LightBackbone)
    for number in range(_length(model.body)):
        ours, theirs = f"body.{number}", places[number] if number < len(places) else f"body.{number}"
        yield Entry(f"{ours}.conv.activation_binarizer.shift", (f"{theirs}.move0.bias",), lambda given: -given[0])
        yield _reactnet_weight(f"{ours}.conv.weight", theirs, state, model.channels)
        yield from _norm(f"{ours}.norm", f"{theirs}.bn1")
        yield vector(f"{ours}.rprelu.shift_before", f"{theirs}.move1.bias")
        yield same(f"{ours}.rprelu.prelu.weight", f"{theirs}.prelu.weight")
        yield vector(f"{ours}.rprelu.shift_after", f"{theirs}.move2.bias")


def _reactnet_weight(ours: str, theirs: str, state: State, channels: int) -> Entry:
    """The first versions of that code keep the weights of a layer in one column."""
    column = f"{theirs}.binary_conv.weights"
    if column not in state:
        return same(ours, f"{theirs}.binary_conv.weight")
    return Entry(ours, (column,), lambda given: given[0].reshape(channels, channels, 3, 3))


def _classifier(state: State) -> str:
    if {"fc.weight", "fc.bias"} <= state.keys():
        return "it classifies pictures (it ends with fc), and networks here enlarge them"
    return _edsr_refusal(state)


# --- BI-DiffSR ---


def _bi_conv(ours: str, theirs: str, layer: BiConv) -> Iterator[Entry]:
    """``TaR`` and ``TaA`` are a module for each group there, a row of a table here."""
    moves = tuple(f"{theirs}.TaR.dynamic_move_{group}.bias" for group in range(len(layer.threshold)))
    yield Entry(f"{ours}.threshold", moves, lambda given: -_rows(given))
    yield same(f"{ours}.conv.weight", f"{theirs}.binary_conv.weight")
    groups = range(len(layer.activation.slope))
    for name, part in (
        ("shift_before", "pr_bias0.bias"),
        ("slope", "pr_prelu.weight"),
        ("shift_after", "pr_bias1.bias"),
    ):
        tables = tuple(f"{theirs}.TaA.dynamic_relu_{group}.{part}" for group in groups)
        yield Entry(f"{ours}.activation.{name}", tables, _rows)


def _rows(given: list[Tensor]) -> Tensor:
    return torch.stack([row.flatten() for row in given])


def _conv(ours: str, theirs: str, layer: nn.Module) -> Iterator[Entry]:
    yield from _bi_conv(ours, theirs, layer) if isinstance(layer, BiConv) else _parameters(ours, theirs)


def _res_block(ours: str, theirs: str, block: nn.Module) -> Iterator[Entry]:
    assert isinstance(block, ResBlock)
    yield from _parameters(f"{ours}.time", f"{theirs}.res_block.timestep_func.1")
    for number, conv in ((1, block.conv1), (2, block.conv2)):
        part = f"{theirs}.res_block.block{number}"
        yield from _parameters(f"{ours}.norm{number}.norm", f"{part}.block.0")
        yield from _conv(f"{ours}.conv{number}", f"{part}.conv", conv)


def _two(ours: str, theirs: tuple[str, str], layer: nn.Module) -> Iterator[Entry]:
    for number, name in enumerate(theirs, 1):
        yield from _conv(f"{ours}.conv{number}", name, layer.get_submodule(f"conv{number}"))


def _bidiffsr(_: State, model: SuperResolutionModel) -> Iterator[Entry]:
    """``downs`` and ``ups`` are lists of all layers in the order of the pass."""
    assert isinstance(model, BiDiffSr)
    yield from _parameters("encoding.expand", "timestep_level_mlp.1")
    yield from _parameters("encoding.reduce", "timestep_level_mlp.3")
    yield from _parameters("head", "downs.0")
    place = 1
    for level, blocks in enumerate(model.encoder):
        for number, block in enumerate(blocks.children()):
            yield from _res_block(f"encoder.{level}.{number}", f"downs.{place}", block)
            place += 1
        if level < len(model.downs):
            names = (f"downs.{place}.biconv1", f"downs.{place}.biconv2")
            yield from _two(f"downs.{level}", names, model.downs[level])
            place += 1
    yield from _res_block("middle1", "mid.0", model.middle1)
    yield from _parameters("attention.norm", "mid.0.attn.norm")
    yield from _parameters("attention.qkv", "mid.0.attn.qkv", "weight")
    yield from _parameters("attention.out", "mid.0.attn.out")
    yield from _res_block("middle2", "mid.1", model.middle2)
    place = 0
    for level in reversed(range(len(model.decoder))):
        pairs = zip(model.fusions[level].children(), model.decoder[level].children(), strict=True)
        for number, (fusion, block) in enumerate(pairs):
            if not isinstance(fusion, AddFusion):
                names = (f"ups.{place}.biconv_1", f"ups.{place}.biconv_2")
                yield from _two(f"fusions.{level}.{number}", names, fusion)
            yield from _res_block(f"decoder.{level}.{number}", f"ups.{place + 1}", block)
            place += 2
        if level > 0:
            names = (f"ups.{place}.biconv1", f"ups.{place}.biconv2")
            yield from _two(f"ups.{level - 1}", names, model.ups[level - 1])
            place += 1
    yield from _parameters("norm.norm", "final_conv.block.0")
    yield from _parameters("tail", "final_conv.block.3")


def _length(body: nn.Module) -> int:
    return len(list(body.children()))


def _natural(name: str) -> list[int | str]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


LAYOUTS = (
    Layout("BI-DiffSR", ("bidiffsr", "test_bidiffsr"), lambda names: "timestep_level_mlp.1.weight" in names, _bidiffsr),
    Layout(
        "BBCU",
        ("bbcu_m", "bbcu_l", "test_bbcu_m", "test_bbcu_l"),
        lambda names: "body.0.body.0.binary_conv.weight" in names and "body.0.body.0.relu.pr_bias0.bias" in names,
        _bbcu,
    ),
    Layout(
        "E2FIF",
        ("e2fif", "e2fif_large", "test_e2fif"),
        lambda names: {"body.0.conv1.0.weight", "body.0.conv1.1.running_mean", "tail.0.weight"} <= names,
        _e2fif,
        _edsr_refusal,
    ),
    Layout(
        "ReActNet",
        ("reactnet", "reactnet_light", "test_reactnet"),
        lambda names: (
            any(name.endswith(".move0.bias") for name in names)
            and any(name.endswith(".bn1.running_mean") for name in names)
        ),
        _reactnet,
        _classifier,
    ),
)
