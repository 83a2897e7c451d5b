#include "pixels.h"

#include <cmath>
#include <cstring>

namespace bitsr {

float from_level(uint8_t level, const ValueRange& range) {
  return static_cast<float>(level) / 255.0f * (range.high - range.low) + range.low;
}

uint8_t to_level(float value, const ValueRange& range) {
  const float unit = (value - range.low) / (range.high - range.low);
  const float bounded = unit > 0.0f ? (unit < 1.0f ? unit : 1.0f) : 0.0f;  // NaN becomes 0
  return static_cast<uint8_t>(std::floor(bounded * 255.0f + 0.5f));
}

void from_pixels(const uint8_t* rgb, int64_t pixels, const ValueRange& range, float* maps) {
  for (int64_t c = 0; c < 3; ++c)
    for (int64_t p = 0; p < pixels; ++p) maps[c * pixels + p] = from_level(rgb[3 * p + c], range);
}

void to_pixels(const float* maps, int64_t pixels, const ValueRange& range, uint8_t* rgb) {
  for (int64_t c = 0; c < 3; ++c)
    for (int64_t p = 0; p < pixels; ++p) rgb[3 * p + c] = to_level(maps[c * pixels + p], range);
}

namespace {

// Calls `body(place in NCHW, place in the form)` for every value.
template <typename Body>
void for_values(const Shape& shape, const MapForm& form, const Body& body) {
  const int64_t pixels = shape.h * shape.w;
  for (int64_t n = 0; n < shape.n; ++n)
    for (int64_t c = 0; c < shape.c; ++c)
      for (int64_t p = 0; p < pixels; ++p) {
        const int64_t nchw = (n * shape.c + c) * pixels + p, nhwc = (n * pixels + p) * shape.c + c;
        body(nchw, form.nhwc ? nhwc : nchw);
      }
}

}  // namespace

void give_map(const float* nchw, const Shape& shape, const MapForm& form, void* to) {
  auto* values = static_cast<float*>(to);
  auto* levels = static_cast<uint8_t*>(to);
  if (form.pixels)
    for_values(shape, form, [&](int64_t from, int64_t at) { levels[at] = to_level(nchw[from], form.range); });
  else if (form.nhwc)
    for_values(shape, form, [&](int64_t from, int64_t at) { values[at] = nchw[from]; });
  else
    std::memcpy(to, nchw, form.bytes(shape));
}

void take_map(const void* from, const Shape& shape, const MapForm& form, float* nchw) {
  const auto* values = static_cast<const float*>(from);
  const auto* levels = static_cast<const uint8_t*>(from);
  if (form.pixels)
    for_values(shape, form, [&](int64_t to, int64_t at) { nchw[to] = from_level(levels[at], form.range); });
  else if (form.nhwc)
    for_values(shape, form, [&](int64_t to, int64_t at) { nchw[to] = values[at]; });
  else
    std::memcpy(nchw, from, form.bytes(shape));
}

}  // namespace bitsr
