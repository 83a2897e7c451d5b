"""Comparison of pictures, timing in turns, and the demo's picture."""

import math

import numpy as np
import pytest

from bitsr.validation.figures.panels import side_by_side
from bitsr.validation.parity.picture_difference import compare
from bitsr.validation.timing.interleave import Timing, interleave


def test_equal_pictures() -> None:
    picture = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    parity = compare(picture, picture)
    assert (parity.psnr, parity.differing, parity.largest) == (math.inf, 0.0, 0)


def test_a_known_difference() -> None:
    reference = np.full((2, 5, 3), 200, np.uint8)
    other = reference.copy()
    other[0, 0] = (203, 200, 199)
    parity = compare(reference, other)
    assert parity.differing == 0.1
    assert parity.largest == 3
    assert parity.psnr == pytest.approx(10 * math.log10(255**2 / (10 / 30)))


def test_the_direction_of_a_difference_does_not_matter() -> None:
    first, second = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    assert compare(first, second) == compare(second, first)
    assert compare(first, second).largest == 255


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        compare(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 3, 3), np.uint8))


def test_candidates_take_turns() -> None:
    order: list[str] = []
    timings = interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=3, warm_up=1)
    assert order == ["a", "b"] * 4
    assert [len(timing.samples) for timing in timings.values()] == [3, 3]


def test_a_lead_in_is_of_the_same_candidate_and_not_timed() -> None:
    order: list[str] = []
    calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    timings = interleave(calls, rounds=2, warm_up=0, lead_in=1)
    assert order == ["a", "a", "b", "b"] * 2
    assert [len(timing.samples) for timing in timings.values()] == [2, 2]


def test_figures_of_samples() -> None:
    timing = Timing(tuple(float(n) for n in range(11, 0, -1)))
    assert (timing.median, timing.least, timing.p90) == (6.0, 1.0, 10.0)
    assert [Timing(tuple(map(float, range(1, count + 1)))).p90 for count in (1, 2, 9, 10)] == [1.0, 2.0, 9.0, 9.0]


def test_the_detail_shows_where_the_first_two_differ_most() -> None:
    flat = np.full((300, 450, 3), 100, np.uint8)
    changed = flat.copy()
    changed[180:, 250:] = (250, 0, 0)
    picture = np.asarray(side_by_side({"flat\n30 dB": flat, "changed": changed}, zoom=4).image())
    side = 99 * 4  # of 800 pixels, less a gap, half for each
    assert picture.shape == (2 * 20 + 6 + side, side + 4 + side, 3)
    assert (picture[-side:, -side:] == (250, 0, 0)).all()
    assert (picture[-side:, :side] == 100).all()


def test_the_detail_of_a_small_picture_is_all_of_it() -> None:
    flat = np.full((20, 30, 3), 100, np.uint8)
    assert side_by_side({"a": flat, "b": flat}, zoom=2).image().size == (60 + 4 + 60, 26 + 40)
