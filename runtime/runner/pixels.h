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

inline int64_t value_count(const Shape& shape) { return shape.n * shape.c * shape.h * shape.w; }

// How a dense map lies outside of the network: the order of its sides; float32, or 8 bits for the levels of a range.
struct MapForm {
  bool nhwc = false, pixels = false;
  ValueRange range{};

  size_t bytes(const Shape& shape) const {
    return static_cast<size_t>(value_count(shape)) * (pixels ? sizeof(uint8_t) : sizeof(float));
  }
};
// From float32 NCHW to such a map, and back.
void give_map(const float* nchw, const Shape& shape, const MapForm& form, void* to);
void take_map(const void* from, const Shape& shape, const MapForm& form, float* nchw);

}  // namespace bitsr
