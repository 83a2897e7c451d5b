#include "pixels.h"

#include <cmath>

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

void change_layout(const float* from, const Shape& shape, bool from_nchw, float* to) {
  const int64_t pixels = shape.h * shape.w;
  for (int64_t n = 0; n < shape.n; ++n, from += shape.c * pixels, to += shape.c * pixels)
    for (int64_t c = 0; c < shape.c; ++c)
      for (int64_t p = 0; p < pixels; ++p) {
        const int64_t nchw = c * pixels + p, nhwc = p * shape.c + c;
        if (from_nchw)
          to[nhwc] = from[nchw];
        else
          to[nchw] = from[nhwc];
      }
}

}  // namespace bitsr
