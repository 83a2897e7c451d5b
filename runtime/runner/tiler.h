// Cuts a picture into overlapping tiles so that every kept pixel is computed from all the pixels that it depends on.
// The tiles are those of bitsr/common/tiler.py: tests/runtime/test_upscale.py compares the pictures.
#pragma once

#include <cstdint>
#include <vector>

#include "outcome.h"

namespace bitsr {

// Pixels begin..end, without the last.
struct Span {
  int64_t begin, end;
  int64_t length() const { return end - begin; }
};

// One call of the network: what it reads, and the part that is kept of what it gives. The kept parts of all tiles cover
// the picture just once.
struct Tile {
  Span read_rows, read_columns, kept_rows, kept_columns;
};

struct TileRules {
  int64_t overlap;     // pixels beyond the kept part that the network looks at
  int64_t max_pixels;  // that a tile reads
  int64_t max_side;    // of what a tile reads; 0: any
};

// Row by row, those with the fewest pixels read in all.
Outcome plan_tiles(int64_t height, int64_t width, const TileRules& rules, std::vector<Tile>* tiles);

}  // namespace bitsr
