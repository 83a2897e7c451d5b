// One convolution with random parts, as a program of one op.
#pragma once

#include <string>

#include "random.h"
#include "reference.h"

namespace bitsr_test {

struct ConvCase {
  // Bits of a choice of parts.
  static constexpr int kPlain = 0, kVectorThreshold = 1, kShift = 2, kInnerSlope = 4, kInnerShift = 8,
                       kChannelGain = 16, kSpatialGain = 32, kResidual = 64, kSlope = 128;

  Conv conv;
  ConvInputs in;
  bool vector_threshold;
  std::string name;
  Net net;

  // Makes the net anew after a change of the numbers above.
  void finish();
  // Adds the op that computes `y` to any net; the ids are those of the op's inputs.
  NetOp op(const std::vector<int>& ids, int y) const;
  std::vector<Map> inputs() const;
  Map expected() const { return binary_conv2d(conv, in); }
};

ConvCase random_conv(Random* random, int in, int out, int kernel_size, int planes, int64_t n, int64_t h, int64_t w,
                     int parts);
// With any choice of parts.
ConvCase random_conv(Random* random, int in, int out, int kernel_size, int planes, int64_t n, int64_t h, int64_t w);

Map random_map(Random* random, int64_t n, int64_t c, int64_t h, int64_t w);

}  // namespace bitsr_test
