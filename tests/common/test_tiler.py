"""Tiles cover every picture exactly once and reproduce the whole result where the network is local."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsr.common.errors import UsageError
from bitsr.common.tiler import plan_tiles

SIDES = st.integers(min_value=1, max_value=70)


@given(height=SIDES, width=SIDES, overlap=st.integers(0, 6), room=st.integers(0, 900))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_kept_parts_cover_the_picture_once(height: int, width: int, overlap: int, room: int) -> None:
    max_pixels = (2 * overlap + 1) ** 2 + room
    covered = torch.zeros(height, width, dtype=torch.int64)
    for tile in plan_tiles(height, width, overlap=overlap, max_pixels=max_pixels):
        assert tile.pixels <= max_pixels
        assert tile.top == max(0, tile.keep_top - overlap)
        assert tile.bottom == min(height, tile.keep_bottom + overlap)
        assert tile.left == max(0, tile.keep_left - overlap)
        assert tile.right == min(width, tile.keep_right + overlap)
        covered[tile.keep_top : tile.keep_bottom, tile.keep_left : tile.keep_right] += 1
    assert bool((covered == 1).all())


@given(height=SIDES, width=SIDES, overlap=st.integers(0, 6), room=st.integers(0, 20))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_no_side_is_longer_than_allowed(height: int, width: int, overlap: int, room: int) -> None:
    side = 2 * overlap + 1 + room
    covered = torch.zeros(height, width, dtype=torch.int64)
    for tile in plan_tiles(height, width, overlap=overlap, max_pixels=side**2, max_side=side):
        assert max(tile.bottom - tile.top, tile.right - tile.left) <= side
        covered[tile.keep_top : tile.keep_bottom, tile.keep_left : tile.keep_right] += 1
    assert bool((covered == 1).all())


@given(height=st.integers(1, 30), width=st.integers(1, 30), room=st.integers(0, 300), seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_a_local_network_gives_the_same_tiled_and_whole(height: int, width: int, room: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    kernels = torch.randn(3, 1, 1, 3, 3, generator=generator, dtype=torch.float64)
    picture = torch.randn(1, 1, height, width, generator=generator, dtype=torch.float64)

    def network(x: torch.Tensor) -> torch.Tensor:  # zero padding and a nonlinearity in every layer, radius 3
        for kernel in kernels:
            x = torch.tanh(F.conv2d(x, kernel, padding=1) + 0.1)
        return x

    whole = network(picture)
    tiled = torch.full_like(whole, torch.nan)
    for tile in plan_tiles(height, width, overlap=3, max_pixels=49 + room):
        result = network(picture[..., tile.top : tile.bottom, tile.left : tile.right])
        rows = slice(tile.keep_top - tile.top, tile.keep_bottom - tile.top)
        columns = slice(tile.keep_left - tile.left, tile.keep_right - tile.left)
        tiled[..., tile.keep_top : tile.keep_bottom, tile.keep_left : tile.keep_right] = result[..., rows, columns]
    # The same sums of float64; only the order inside the convolution library may change with the size.
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-12)


def test_a_picture_within_the_budget_is_one_tile() -> None:
    (tile,) = plan_tiles(30, 40, overlap=34, max_pixels=1200)
    assert (tile.pixels, tile.keep_bottom, tile.keep_right) == (1200, 30, 40)


def test_tiles_are_near_square_where_the_picture_is() -> None:
    tiles = plan_tiles(4000, 4000, overlap=34, max_pixels=512 * 512)
    read = sum(tile.pixels for tile in tiles)
    # 444 kept of 512 read on each side is the best a square tile can do: 1.33 times the picture.
    assert read < 1.4 * 4000 * 4000


@pytest.mark.parametrize(("height", "width"), [(1, 100_000), (100_000, 1)])
def test_lines_are_cut_along_their_length(height: int, width: int) -> None:
    tiles = plan_tiles(height, width, overlap=34, max_pixels=10_000)
    assert len(tiles) == 11


def test_a_budget_without_room_is_refused() -> None:
    with pytest.raises(UsageError, match="69x69"):
        plan_tiles(1000, 1000, overlap=34, max_pixels=69 * 69 - 1)
