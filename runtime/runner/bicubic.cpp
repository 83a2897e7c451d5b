#include "bicubic.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace bitsr {
namespace {

constexpr int64_t kRadius = 2;
constexpr int kTaps = 2 * kRadius;
constexpr int kFraction = 22;  // bits behind the point of a weight
constexpr int32_t kHalf = 1 << (kFraction - 1);

struct Weights {
  int64_t first;
  int count;
  int32_t values[kTaps];
};

double cubic(double distance) {
  constexpr double a = -0.5;
  const double x = std::fabs(distance);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * a : 0.0;
}

// Of the source's pixels 0..length for pixel `at` of the enlargement.
Weights weights_at(int64_t at, int64_t scale, int64_t length) {
  const double center = (static_cast<double>(at) + 0.5) / static_cast<double>(scale);
  Weights weights{};
  weights.first = std::max<int64_t>(0, static_cast<int64_t>(center - kRadius + 0.5));
  weights.count = static_cast<int>(std::min(length, static_cast<int64_t>(center + kRadius + 0.5)) - weights.first);
  double found[kTaps], sum = 0.0;
  for (int i = 0; i < weights.count; ++i) {
    found[i] = cubic(static_cast<double>(weights.first + i) - center + 0.5);
    sum += found[i];
  }
  for (int i = 0; i < weights.count; ++i) {
    const double scaled = found[i] / sum * (1 << kFraction);
    weights.values[i] = static_cast<int32_t>(scaled < 0.0 ? scaled - 0.5 : scaled + 0.5);
  }
  return weights;
}

uint8_t weighted(const Weights& weights, const uint8_t* values, int64_t step) {
  int32_t sum = kHalf;
  for (int i = 0; i < weights.count; ++i) sum += weights.values[i] * values[i * step];
  return static_cast<uint8_t>(std::clamp(sum >> kFraction, 0, 255));
}

}  // namespace

void enlarge_rows(const Plane& plane, int64_t scale, const Span& rows, uint8_t* to, int64_t to_step,
                  int64_t to_stride) {
  const int64_t width = plane.width * scale;
  std::vector<Weights> columns;
  for (int64_t x = 0; x < width; ++x) columns.push_back(weights_at(x, scale, plane.width));
  // The source's rows that are needed, wide already.
  const int64_t first = weights_at(rows.begin, scale, plane.height).first;
  const Weights last = weights_at(rows.end - 1, scale, plane.height);
  const int64_t count = last.first + last.count - first;
  std::vector<uint8_t> wide(static_cast<size_t>(count * width));
  for (int64_t y = 0; y < count; ++y) {
    const uint8_t* row = plane.data + (first + y) * plane.stride;
    for (int64_t x = 0; x < width; ++x)
      wide[static_cast<size_t>(y * width + x)] = weighted(
          columns[static_cast<size_t>(x)], row + columns[static_cast<size_t>(x)].first * plane.step, plane.step);
  }
  for (int64_t y = rows.begin; y < rows.end; ++y, to += to_stride) {
    const Weights weights = weights_at(y, scale, plane.height);
    const uint8_t* column = wide.data() + (weights.first - first) * width;
    for (int64_t x = 0; x < width; ++x) to[x * to_step] = weighted(weights, column + x, width);
  }
}

}  // namespace bitsr
