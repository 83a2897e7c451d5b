// binary_conv2d against the naive reference, on every kernel, bit for bit.
#include <cmath>
#include <limits>

#include "random.h"
#include "random_conv.h"

namespace bitsr_test {
namespace {

TEST(Conv, RandomShapesAndParts) {
  const std::vector<int> channels = {1, 3, 8, 16, 63, 64, 65, 100, 130, 192, 256};
  Random random(run_seed());
  for (int i = 0; i < 60; ++i) {
    const int in = random.pick(channels), out = random.pick(channels);
    const int kernel_size = random.coin() ? 3 : 1, planes = random.coin() ? 2 : 1;
    // The reference is slow: large layers see small pictures.
    const int64_t most = in * out > 10000 ? 5 : 15;
    const int64_t h = 1 + random.below(most), w = 1 + random.below(most);
    ConvCase test = random_conv(&random, in, out, kernel_size, planes, 1 + random.below(2), h, w);
    SCOPED_TRACE(test.name + ", case " + std::to_string(i));
    expect_everywhere(test.net, test.inputs(), {test.expected()});
    if (HasFatalFailure()) return;
  }
}

TEST(Conv, EveryChannelCountOfOneBlock) {
  // 1 to 4 vectors of output channels, with every remainder of pixels in a tile.
  Random random(run_seed());
  for (const int out : {1, 16, 17, 32, 33, 48, 49, 64})
    for (const int64_t w : {1, 2, 3, 4, 5, 6, 7, 8, 12, 13}) {
      ConvCase test = random_conv(&random, 40, out, 3, 1, 1, 2, w);
      SCOPED_TRACE(test.name);
      expect_everywhere(test.net, test.inputs(), {test.expected()});
      if (HasFatalFailure()) return;
    }
}

TEST(Conv, ThinPictures) {
  Random random(run_seed());
  const int64_t sizes[][2] = {{1, 1}, {1, 17}, {17, 1}, {2, 2}, {1, 2}, {2, 1}, {3, 3}};
  for (const auto& size : sizes)
    for (const int kernel_size : {1, 3}) {
      ConvCase test = random_conv(&random, 64, 64, kernel_size, 2, 1, size[0], size[1]);
      SCOPED_TRACE(test.name);
      expect_everywhere(test.net, test.inputs(), {test.expected()});
      if (HasFatalFailure()) return;
    }
}

// With scale 1 and nothing else the output is the integer dot product itself.
TEST(Conv, DotProductIsExact) {
  Random random(run_seed());
  // From 7300 on longer than what 16-bit sums of AVX2 hold, 14600 twice.
  for (const int in : {1, 64, 65, 448, 1000, 4096, 7300, 14600}) {
    for (const bool agree : {true, false}) {
      ConvCase test = random_conv(&random, in, 3, 3, 1, 1, 3, 3, ConvCase::kPlain);
      // The extremes of the partial sums: all bits agree, or all differ.
      for (int& sign : test.conv.signs) sign = 1;
      for (float& value : test.in.x.data) value = agree ? 1.0f : -1.0f;
      for (float& value : test.in.threshold.data) value = 0.0f;
      test.finish();
      const int sign = agree ? 1 : -1;
      for (const Isa isa : available_isas()) {
        const Map y = run(test.net, test.inputs(), isa).at(0);
        for (int64_t row = 0; row < 3; ++row)
          for (int64_t column = 0; column < 3; ++column) {
            const int taps = (row == 1 ? 3 : 2) * (column == 1 ? 3 : 2);
            EXPECT_EQ(sign * taps * in, y.at(0, 1, row, column)) << in << " channels, " << bitsr::isa_name(isa);
          }
      }
    }
    ConvCase test = random_conv(&random, in, 20, 3, 1, 1, 4, 5, ConvCase::kPlain);
    SCOPED_TRACE(test.name);
    expect_everywhere(test.net, test.inputs(), {test.expected()});
  }
}

TEST(Conv, SignAtTheThresholdAndOfNaN) {
  Random random(run_seed());
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const float threshold : {0.0f, -0.0f, 0.25f, -1.5f, inf, -inf}) {
    ConvCase test = random_conv(&random, 70, 5, 1, 1, 1, 3, 9, ConvCase::kPlain);
    const std::vector<float> values = {threshold,
                                       std::nextafter(threshold, -inf),
                                       std::nextafter(threshold, inf),
                                       0.0f,
                                       -0.0f,
                                       nan,
                                       -nan,
                                       inf,
                                       -inf,
                                       std::numeric_limits<float>::denorm_min(),
                                       -std::numeric_limits<float>::denorm_min()};
    for (float& value : test.in.x.data) value = random.pick(values);
    for (float& value : test.in.threshold.data) value = threshold;
    test.finish();
    SCOPED_TRACE(threshold);
    expect_everywhere(test.net, test.inputs(), {test.expected()});
  }
  // One channel: sign(threshold) is +1, NaN is -1.
  ConvCase test = random_conv(&random, 1, 1, 1, 1, 1, 1, 3, ConvCase::kPlain);
  test.conv.signs = {1};
  test.in.threshold.data = {0.5f};
  test.in.x.data = {0.5f, nan, 0.49999997f};
  test.finish();
  for (const Isa isa : available_isas())
    EXPECT_EQ((std::vector<float>{1.0f, -1.0f, -1.0f}), run(test.net, test.inputs(), isa).at(0).data);
}

}  // namespace
}  // namespace bitsr_test
