// The ops of ARCHITECTURE.md as plain loops over (N, C, H, W). Nothing here is shared with the core.
//
// Laws 1, 2, 4 and 5 fix every bit of binary_conv2d, add and pixel_shuffle, so these references are exact. The gates
// are computed in double and come with a bound of the float error.
#pragma once

#include "net.h"

namespace bitsr_test {

struct Conv {
  int in, out, kernel_size, planes;
  std::vector<int> signs;                                     // [planes][out][in][kernel_size][kernel_size], +1 or -1
  std::vector<float> scale;                                   // [planes][out]
  std::vector<float> shift, inner_slope, inner_shift, slope;  // [out]; empty: absent
};

// The maps and vectors that go into one convolution; n = 0: absent.
struct ConvInputs {
  Map x, threshold, channel_gain, spatial_gain, residual;  // threshold: (N, C, 1, 1), or n = 1 for all images
};

Map binary_conv2d(const Conv& conv, const ConvInputs& inputs);

// The op's constants in the order of docs/formats.md; `threshold` empty: the threshold is an input.
std::vector<Bytes> constants(const Conv& conv, const std::vector<float>& threshold);

struct Gate {
  int channels, hidden, all, linear;
  std::vector<float> w1, b1, w2, b2;
};

// A value and how far a float computation of it may be off.
struct Bounded {
  double value, bound;
};

// All outputs, [n][all]: the linear ones first.
std::vector<Bounded> channel_gate(const Gate& gate, const Map& x);
// The plane, [n][h][w]. `weight` is [kernel_size][kernel_size][c].
std::vector<Bounded> spatial_gate(int kernel_size, const std::vector<float>& weight, float bias, const Map& x);

Map add(const Map& a, const Map& b);
Map pixel_shuffle(int factor, const Map& x, const Map* skip);

// Every value of `map`, in order, lies within its bound.
testing::AssertionResult within(const std::vector<Bounded>& expected, const Map& map);

}  // namespace bitsr_test
