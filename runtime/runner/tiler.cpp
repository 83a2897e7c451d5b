#include "tiler.h"

#include <algorithm>

namespace bitsr {
namespace {

int64_t divided_up(int64_t number, int64_t by) { return (number + by - 1) / by; }

// The fewest equal parts of `length` that read at most `most` each; 0: there are none.
int64_t fewest_parts(int64_t length, int64_t overlap, int64_t most) {
  if (length <= most) return 1;
  const int64_t room = most - 2 * overlap;
  return room >= 1 ? divided_up(length, room) : 0;
}

// Saturated: the metadata may ask for any overlap.
int64_t product(int64_t a, int64_t b) {
  int64_t result = 0;
  return __builtin_mul_overflow(a, b, &result) ? INT64_MAX : result;
}

struct Part {
  Span read, kept;
};

std::vector<Part> parts_of(int64_t length, int64_t count, int64_t overlap) {
  std::vector<Part> parts;
  const int64_t step = divided_up(length, count);
  for (int64_t begin = 0; begin < length; begin += step) {
    const int64_t end = std::min(begin + step, length);
    parts.push_back({{std::max<int64_t>(0, begin - overlap), std::min(length, end + overlap)}, {begin, end}});
  }
  return parts;
}

}  // namespace

Outcome plan_tiles(int64_t height, int64_t width, const TileRules& rules, std::vector<Tile>* tiles) {
  const int64_t longest = rules.max_side > 0 ? rules.max_side : std::max(height, width);
  int64_t best = -1, best_rows = 0, best_columns = 0;
  for (int64_t rows = 1; rows <= height; ++rows) {
    const int64_t read_height = std::min(height, divided_up(height, rows) + 2 * rules.overlap);
    const int64_t columns = fewest_parts(width, rules.overlap, std::min(longest, rules.max_pixels / read_height));
    if (columns == 0 || read_height > longest) continue;
    const int64_t read_width = std::min(width, divided_up(width, columns) + 2 * rules.overlap);
    const int64_t total = product(rows * columns, read_height * read_width);
    if (best < 0 || total < best) {
      best = total;
      best_rows = rows;
      best_columns = columns;
    }
    if (columns == 1) break;  // more rows only add overlap
  }
  if (best < 0) {
    const int64_t side = 2 * rules.overlap + 1;
    return failed(ErrorKind::argument,
                  "a tile of %lld pixels is too small: this network looks %lld pixels around each pixel, so a tile "
                  "needs at least %lldx%lld pixels; allow larger tiles",
                  static_cast<long long>(rules.max_pixels), static_cast<long long>(rules.overlap),
                  static_cast<long long>(std::min(side, height)), static_cast<long long>(std::min(side, width)));
  }
  const std::vector<Part> columns = parts_of(width, best_columns, rules.overlap);
  tiles->clear();
  for (const Part& row : parts_of(height, best_rows, rules.overlap))
    for (const Part& column : columns) tiles->push_back({row.read, column.read, row.kept, column.kept});
  return {};
}

}  // namespace bitsr
