#include "reference.h"

#include <cmath>

namespace bitsr_test {
namespace {

// Half a unit in the last place of 1.0f: the relative error of one rounding.
constexpr double kRounding = 1.0 / (1 << 24);

int dot(const Conv& conv, const ConvInputs& in, int plane, int o, int64_t i, int64_t y, int64_t x) {
  const int radius = conv.kernel_size / 2;
  int sum = 0;
  for (int c = 0; c < conv.in; ++c)
    for (int ky = 0; ky < conv.kernel_size; ++ky)
      for (int kx = 0; kx < conv.kernel_size; ++kx) {
        const int64_t row = y + ky - radius, column = x + kx - radius;
        if (row < 0 || row >= in.x.h || column < 0 || column >= in.x.w) continue;
        const float threshold = in.threshold.at(in.threshold.n == 1 ? 0 : i, c, 0, 0);
        const int activation = in.x.at(i, c, row, column) >= threshold ? 1 : -1;
        const size_t tap =
            (((static_cast<size_t>(plane) * conv.out + o) * conv.in + c) * conv.kernel_size + ky) * conv.kernel_size +
            kx;
        sum += activation * conv.signs[tap];
      }
  return sum;
}

Bounded sigmoid(const Bounded& v) {
  // The slope of the sigmoid is at most 1/4. The polynomial and its roundings were measured at 1.5 roundings of 1.
  return {1.0 / (1.0 + std::exp(-v.value)), v.bound / 4 + 2 * kRounding};
}

}  // namespace

Map binary_conv2d(const Conv& conv, const ConvInputs& in) {
  Map y(in.x.n, conv.out, in.x.h, in.x.w);
  for (int64_t i = 0; i < y.n; ++i)
    for (int o = 0; o < conv.out; ++o)
      for (int64_t row = 0; row < y.h; ++row)
        for (int64_t column = 0; column < y.w; ++column) {
          const auto c = static_cast<size_t>(o);
          float z = conv.shift.empty() ? 0.0f : conv.shift[c];
          for (int plane = 0; plane < conv.planes; ++plane)
            z = std::fma(static_cast<float>(dot(conv, in, plane, o, i, row, column)),
                         conv.scale[static_cast<size_t>(plane * conv.out + o)], z);
          if (!conv.inner_slope.empty()) z = z < 0.0f ? z * conv.inner_slope[c] : z;
          if (!conv.inner_shift.empty()) z = z + conv.inner_shift[c];
          if (in.channel_gain.n) z = z * in.channel_gain.at(i, o, 0, 0);
          if (in.spatial_gain.n) z = z * in.spatial_gain.at(i, 0, row, column);
          if (in.residual.n) z = z + in.residual.at(i, o, row, column);
          if (!conv.slope.empty()) z = z < 0.0f ? z * conv.slope[c] : z;
          y.at(i, o, row, column) = z;
        }
  return y;
}

std::vector<Bytes> constants(const Conv& conv, const std::vector<float>& threshold) {
  const int words = (conv.in + 63) / 64, taps = conv.kernel_size * conv.kernel_size;
  std::vector<uint64_t> bits(static_cast<size_t>(conv.planes) * conv.out * taps * words);
  for (size_t row = 0; row < static_cast<size_t>(conv.planes) * conv.out; ++row)
    for (int c = 0; c < conv.in; ++c)
      for (int tap = 0; tap < taps; ++tap)
        if (conv.signs[(row * conv.in + c) * taps + tap] > 0)
          bits[(row * taps + tap) * words + c / 64] |= uint64_t{1} << (c % 64);
  return {to_bytes(threshold),        to_bytes(bits),
          to_bytes(conv.scale),       to_bytes(conv.shift),
          to_bytes(conv.inner_slope), to_bytes(conv.inner_shift),
          to_bytes(conv.slope)};
}

std::vector<Bounded> channel_gate(const Gate& gate, const Map& x) {
  std::vector<Bounded> all;
  for (int64_t i = 0; i < x.n; ++i) {
    std::vector<Bounded> mean, hidden;
    for (int c = 0; c < gate.channels; ++c) {
      double sum = 0, magnitude = 0;
      for (int64_t y = 0; y < x.h; ++y)
        for (int64_t column = 0; column < x.w; ++column) {
          sum += x.at(i, c, y, column);
          magnitude += std::fabs(x.at(i, c, y, column));
        }
      // An element goes through at most W + H additions and the division.
      const double pixels = static_cast<double>(x.h * x.w);
      mean.push_back({sum / pixels, magnitude / pixels * static_cast<double>(x.w + x.h + 1) * kRounding});
    }
    const auto connected = [](const std::vector<float>& w, float bias, size_t row, const std::vector<Bounded>& v) {
      double sum = bias, bound = 0, magnitude = std::fabs(bias);
      for (size_t k = 0; k < v.size(); ++k) {
        const double weight = w[row * v.size() + k];
        sum += weight * v[k].value;
        magnitude += std::fabs(weight * v[k].value);
        bound += std::fabs(weight) * v[k].bound;
      }
      return Bounded{sum, bound + magnitude * static_cast<double>(v.size() + 1) * kRounding};
    };
    for (int r = 0; r < gate.hidden; ++r) {
      Bounded v = connected(gate.w1, gate.b1[static_cast<size_t>(r)], static_cast<size_t>(r), mean);
      v.value = v.value > 0 ? v.value : 0;
      hidden.push_back(v);
    }
    for (int k = 0; k < gate.all; ++k) {
      const Bounded v = connected(gate.w2, gate.b2[static_cast<size_t>(k)], static_cast<size_t>(k), hidden);
      all.push_back(k < gate.linear ? v : sigmoid(v));
    }
  }
  return all;
}

std::vector<Bounded> spatial_gate(int kernel_size, const std::vector<float>& weight, float bias, const Map& x) {
  const int radius = kernel_size / 2;
  std::vector<Bounded> all;
  for (int64_t i = 0; i < x.n; ++i)
    for (int64_t y = 0; y < x.h; ++y)
      for (int64_t column = 0; column < x.w; ++column) {
        double sum = bias, magnitude = std::fabs(bias);
        for (int ky = 0; ky < kernel_size; ++ky)
          for (int kx = 0; kx < kernel_size; ++kx)
            for (int64_t c = 0; c < x.c; ++c) {
              const int64_t from_y = y + ky - radius, from_x = column + kx - radius;
              if (from_y < 0 || from_y >= x.h || from_x < 0 || from_x >= x.w) continue;
              const double product =
                  double{weight[static_cast<size_t>((ky * kernel_size + kx) * x.c + c)]} * x.at(i, c, from_y, from_x);
              sum += product;
              magnitude += std::fabs(product);
            }
        // A product goes through at most as many additions as a lane has terms, the tree, the rows and the bias.
        const double additions = static_cast<double>(kernel_size * ((x.c + 15) / 16) + 4 + 3);
        all.push_back(sigmoid({sum, magnitude * additions * kRounding}));
      }
  return all;
}

Map add(const Map& a, const Map& b) {
  Map y = a;
  for (size_t i = 0; i < y.data.size(); ++i) y.data[i] = a.data[i] + b.data[i];
  return y;
}

Map pixel_shuffle(int factor, const Map& x, const Map* skip) {
  Map y(x.n, x.c / (factor * factor), x.h * factor, x.w * factor);
  for (int64_t i = 0; i < y.n; ++i)
    for (int64_t c = 0; c < y.c; ++c)
      for (int64_t row = 0; row < y.h; ++row)
        for (int64_t column = 0; column < y.w; ++column) {
          const int64_t from = (c * factor + row % factor) * factor + column % factor;
          float value = x.at(i, from, row / factor, column / factor);
          if (skip) value = value + skip->at(i, c, row / factor, column / factor);
          y.at(i, c, row, column) = value;
        }
  return y;
}

testing::AssertionResult within(const std::vector<Bounded>& expected, const Map& map) {
  if (expected.size() != map.data.size())
    return testing::AssertionFailure() << "expected " << expected.size() << " values, got " << map.data.size();
  for (size_t i = 0; i < expected.size(); ++i)
    if (!(std::fabs(expected[i].value - map.data[i]) <= expected[i].bound))
      return testing::AssertionFailure() << "element " << i << ": expected " << expected[i].value << " within "
                                         << expected[i].bound << ", got " << map.data[i];
  return testing::AssertionSuccess();
}

}  // namespace bitsr_test
