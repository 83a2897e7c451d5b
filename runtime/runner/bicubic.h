// Enlarges a plane of 8-bit values, such as transparency, which no network enlarges.
#pragma once

#include <cstdint>

#include "tiler.h"

namespace bitsr {

// One channel of a picture whose pixels lie `step` bytes apart, its rows `stride`.
struct Plane {
  const uint8_t* data;
  int64_t height, width, step, stride;
};

// Rows `rows` of the enlargement by `scale`, to pixels `to_step` bytes apart and rows `to_stride`. Keys' cubic kernel
// (1981) with a = -1/2, edges by renormalised weights, rounded to 8 bits after each direction, rows first: the values
// of Pillow's BICUBIC, which bitsr/inference/upscale.py calls.
void enlarge_rows(const Plane& plane, int64_t scale, const Span& rows, uint8_t* to, int64_t to_step, int64_t to_stride);

}  // namespace bitsr
