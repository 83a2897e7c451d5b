// Pixels and maps: 8-bit RGB to a network's values and back, and the two layouts.
#pragma once

#include "bitsr/session.h"

namespace bitsr {

// The values of black and white.
struct ValueRange {
  float low = 0.0f, high = 1.0f;
};

// What an 8-bit level becomes, and back: clamped and rounded half up, NaN to 0.
float from_level(uint8_t level, const ValueRange& range);
uint8_t to_level(float value, const ValueRange& range);

// 8-bit RGB pixels to three maps, and back.
void from_pixels(const uint8_t* rgb, int64_t pixels, const ValueRange& range, float* maps);
void to_pixels(const float* maps, int64_t pixels, const ValueRange& range, uint8_t* rgb);

// Copies a dense map between the two layouts; `nchw` says which one `from` has.
void change_layout(const float* from, const Shape& shape, bool from_nchw, float* to);

inline int64_t value_count(const Shape& shape) { return shape.n * shape.c * shape.h * shape.w; }

}  // namespace bitsr
