// The convolution of quantized maps. Its sums are integers and its float part is law 5: the reference is exact.
#include <algorithm>
#include <cmath>
#include <limits>

#include "random.h"
#include "random_conv.h"

namespace bitsr_test {
namespace {

struct QuantizedConv {
  int in, out, kernel_size, classes, negative, positive;
  std::vector<float> inverse_step;  // [in]
  std::vector<int16_t> weight;      // [out][kernel_size][kernel_size][in]
  std::vector<float> scale;         // [out]
  std::vector<float> bias;          // [classes][out]
  std::vector<float> slope;         // [out]; empty: absent
  bool wide = false;                // the program has the weights as 16 bits
};

Bytes weight_bytes(const QuantizedConv& conv) {
  if (conv.wide) return to_bytes(conv.weight);
  return to_bytes(std::vector<int8_t>(conv.weight.begin(), conv.weight.end()));
}

// Adds the op that computes `y` from `x`.
void add_op(const QuantizedConv& conv, int x, int y, Net* net) {
  net->ops.push_back({OpKind::quantized_conv2d,
                      {x},
                      {y},
                      {weight_bytes(conv), to_bytes(conv.inverse_step), to_bytes(conv.scale), to_bytes(conv.bias),
                       to_bytes(conv.slope)},
                      {conv.out, conv.kernel_size, conv.classes, conv.negative, conv.positive}});
}

Net net_of(const QuantizedConv& conv) {
  Net net;
  const int x = net.input(ValueKind::map, conv.in);
  net.outputs = {net.value(ValueKind::map, conv.out)};
  add_op(conv, x, net.outputs[0], &net);
  return net;
}

int level(const QuantizedConv& conv, int64_t channel, float x) {
  const float v = x * conv.inverse_step[static_cast<size_t>(channel)];
  const auto lower = static_cast<float>(-conv.negative), upper = static_cast<float>(conv.positive);
  if (!(v > lower)) return -conv.negative;
  return static_cast<int>(std::nearbyint(v < upper ? v : upper));
}

int64_t line_class(int64_t place, int64_t length) { return (place == 0 ? 1 : 0) + (place == length - 1 ? 2 : 0); }

Map expected(const QuantizedConv& conv, const Map& x) {
  Map y(x.n, conv.out, x.h, x.w);
  const int64_t k = conv.kernel_size;
  for (int64_t image = 0; image < x.n; ++image)
    for (int64_t o = 0; o < conv.out; ++o)
      for (int64_t row = 0; row < x.h; ++row)
        for (int64_t column = 0; column < x.w; ++column) {
          int64_t dot = 0;
          for (int64_t ky = 0; ky < k; ++ky)
            for (int64_t kx = 0; kx < k; ++kx) {
              const int64_t from_row = row + ky - k / 2, from_column = column + kx - k / 2;
              if (from_row < 0 || from_row >= x.h || from_column < 0 || from_column >= x.w) continue;
              for (int64_t c = 0; c < x.c; ++c)
                dot += level(conv, c, x.at(image, c, from_row, from_column)) *
                       int64_t{conv.weight[static_cast<size_t>(((o * k + ky) * k + kx) * x.c + c)]};
            }
          EXPECT_LE(std::abs(dot), std::numeric_limits<int32_t>::max());
          const int64_t border = conv.classes == 1 ? 0 : 4 * line_class(row, x.h) + line_class(column, x.w);
          const auto at = static_cast<size_t>(o);
          float z = std::fma(static_cast<float>(dot), conv.scale[at],
                             conv.bias[static_cast<size_t>(border) * static_cast<size_t>(conv.out) + at]);
          if (!conv.slope.empty() && z < 0) z *= conv.slope[at];
          y.at(image, o, row, column) = z;
        }
  return y;
}

void check(const QuantizedConv& conv, const Map& x) {
  SCOPED_TRACE(std::to_string(conv.in) + " to " + std::to_string(conv.out) + " channels, kernel " +
               std::to_string(conv.kernel_size) + ", levels -" + std::to_string(conv.negative) + " to " +
               std::to_string(conv.positive) + ", " + std::to_string(x.h) + "x" + std::to_string(x.w));
  expect_everywhere(net_of(conv), {x}, {expected(conv, x)});
}

QuantizedConv random_conv(Random* random, int in, int out, int kernel_size, int negative, int positive) {
  const auto outs = static_cast<size_t>(out);
  const int classes = kernel_size == 3 && random->coin() ? 16 : 1;
  QuantizedConv conv = {in, out, kernel_size, classes, negative, positive, {}, {}, {}, {}, {}, false};
  const int most = negative + positive > 4096 ? 16 : 128;
  for (int c = 0; c < in; ++c)
    conv.inverse_step.push_back(static_cast<float>(positive + 1) *
                                std::ldexp(0.7f, static_cast<int>(random->below(5))));
  for (int i = 0; i < out * kernel_size * kernel_size * in; ++i)
    conv.weight.push_back(static_cast<int16_t>(random->below(2 * most) - most));
  conv.scale = random->reals(outs, 1.0f / static_cast<float>(most * (positive + 1)));
  conv.bias = random->reals(outs * static_cast<size_t>(classes));
  if (random->coin()) conv.slope = random->reals(outs);
  return conv;
}

TEST(QuantizedConv, WeightsOf16Bits) {
  Random random(run_seed());
  for (const int in : {1, 3, 16, 33})
    for (const int out : {3, 48, 64})
      for (const int kernel_size : {1, 3}) {
        QuantizedConv conv = random_conv(&random, in, out, kernel_size, 0, 255);
        conv.wide = true;
        // The largest that the sums have room for.
        const int most = std::min(32767, std::numeric_limits<int32_t>::max() / (255 * in * kernel_size * kernel_size));
        for (int16_t& weight : conv.weight) weight = static_cast<int16_t>(random.below(2 * most + 1) - most);
        conv.weight[0] = static_cast<int16_t>(-most);
        check(conv, random_map(&random, 1, in, 1 + random.below(4), 1 + random.below(15)));
        if (HasFatalFailure()) return;
      }
}

TEST(QuantizedConv, RandomShapesAndLevels) {
  Random random(run_seed());
  const int levels[][2] = {{0, 255}, {2047, 2047}, {32768, 32767}, {1, 0}};
  for (const int in : {1, 3, 16, 64, 65})
    for (const int out : {1, 16, 48, 63, 64, 100})
      for (const int kernel_size : {1, 3})
        for (const auto& pair : levels) {
          const int64_t h = 1 + random.below(4), w = 1 + random.below(15);
          check(random_conv(&random, in, out, kernel_size, pair[0], pair[1]),
                random_map(&random, 1 + random.below(2), in, h, w));
          if (HasFatalFailure()) return;
        }
}

// Levels of all 16 bits against weights of one byte and of two, up to what the sums have room for and to the ends of
// what splits into signed bytes; widths beyond what is split at once.
TEST(QuantizedConv, BytesOfLevelsAndWeights) {
  Random random(run_seed());
  const std::vector<int> largest = {127, 128, -128, -129, 300, -3000, 32512, 32639, 32640, 32767, -32767, -32768};
  for (const int in : {5, 6, 16, 20, 64, 67, 190, 200})
    for (const int kernel_size : {1, 3})
      for (int i = 0; i < 6; ++i) {
        const int out = random.pick(std::vector<int>{3, 12, 48});
        QuantizedConv conv = random_conv(&random, in, out, kernel_size, 32768, 32767);
        conv.wide = true;
        const size_t filter = conv.weight.size() / static_cast<size_t>(out);
        int64_t most = 0;
        for (size_t first = 0; first < conv.weight.size(); first += filter) {
          int16_t* const weights = conv.weight.data() + first;
          for (int turn = 0; turn < 3; ++turn)
            weights[random.below(static_cast<int64_t>(filter))] = static_cast<int16_t>(random.pick(largest));
          int64_t sum = 0;
          for (size_t j = 0; j < filter; ++j) sum += std::abs(int64_t{weights[j]});
          most = std::max(most, sum);
        }
        conv.positive = static_cast<int>(std::min<int64_t>(32767, std::numeric_limits<int32_t>::max() / most));
        conv.negative = conv.positive;
        check(conv, random_map(&random, 1, in, 1 + random.below(3), 1 + random.below(37)));
        if (HasFatalFailure()) return;
      }
}

// Weights of one byte up to both of its ends, and one that is none; levels that are bytes in some parts of a picture
// and not in others, up to the largest that have two; widths beyond what is split at once, channels up to and beyond
// what there is room for.
TEST(QuantizedConv, LevelsMostlyOfOneByte) {
  Random random(run_seed());
  const int levels[][2] = {{127, 127}, {128, 127}, {0, 255}, {255, 0}, {2000, 1999}, {32639, 32639}, {32768, 32640}};
  for (const auto& pair : levels)
    for (const int in : {4, 5, 6, 16, 20, 64, 65, 128, 129, 400})
      for (const int kernel_size : {1, 3}) {
        const int out = random.pick(std::vector<int>{1, 12, 48, 64, 80});
        QuantizedConv conv = random_conv(&random, in, out, kernel_size, pair[0], pair[1]);
        // The largest sums of 32639 that fit.
        const int most = std::min(128, 65536 / (kernel_size * kernel_size * in));
        for (int16_t& weight : conv.weight) weight = static_cast<int16_t>(random.below(2 * most) - most);
        conv.wide = random.below(4) == 0;
        if (conv.wide && most == 128) conv.weight.back() = static_cast<int16_t>(random.coin() ? 128 : -129);
        std::fill(conv.inverse_step.begin(), conv.inverse_step.end(), 1.0f);
        Map x = random_map(&random, 1, in, 1 + random.below(3), 1 + random.below(60));
        for (float& value : x.data) value *= 100.0f;
        const std::vector<float> others = {127, 128, -128, -129, 255, 383, 384, -384, -385, 32639, 32640, -32768, 1e9f};
        for (int64_t i = random.below(5); i > 0; --i)
          x.data[static_cast<size_t>(random.below(static_cast<int64_t>(x.data.size())))] = random.pick(others);
        check(conv, x);
        if (HasFatalFailure()) return;
      }
}

TEST(QuantizedConv, ThinPictures) {
  Random random(run_seed());
  const int64_t sizes[][2] = {{1, 1}, {1, 2}, {2, 1}, {1, 17}, {17, 1}, {2, 6}, {1, 7}};
  for (const auto& size : sizes)
    for (const int in : {3, 16}) {
      check(random_conv(&random, in, 48, 3, 100, 100), random_map(&random, 1, in, size[0], size[1]));
      if (HasFatalFailure()) return;
    }
}

TEST(QuantizedConv, RoundsHalvesToEvenAndTakesAnyFloat) {
  const float inf = std::numeric_limits<float>::infinity(), largest = std::numeric_limits<float>::max();
  for (const int channels : {1, 16}) {  // read in any layout, and by whole vectors
    const auto count = static_cast<size_t>(channels);
    Map x(1, channels, 1, 14);
    const std::vector<float> row = {-2.5f,  -1.5f, -0.5f, 0.5f,    1.5f,     2.5f,          -0.0f,
                                    1e-40f, -inf,  inf,   largest, -largest, std::nanf(""), 32767.5f};
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t i = 0; i < x.w; ++i) x.at(0, c, 0, i) = row[static_cast<size_t>(i)];
    std::vector<int16_t> weight(count, 0);
    weight.back() = 1;
    const QuantizedConv conv = {channels, 1,      1,      1, 32768, 32767, std::vector<float>(count, 1.0f),
                                weight,   {1.0f}, {0.0f}, {}};
    check(conv, x);
    const std::vector<Map> got = run(net_of(conv), {x}, Isa::portable);
    EXPECT_EQ(got.at(0).data,
              (std::vector<float>{-2, -2, 0, 0, 2, 2, 0, 0, -32768, 32767, 32767, -32768, -32768, 32767}));
  }
}

TEST(QuantizedConv, LargestSumsAreExact) {
  // 516 * 127 + 3 = 2^16 - 1, times 2^15: the largest multiple of a level that fits.
  QuantizedConv conv = {
      517, 1, 1, 1, 32768, 32767, std::vector<float>(517, 1.0f), std::vector<int16_t>(517, 127), {1.0f}, {0.0f}, {}};
  conv.weight.back() = 3;
  Map x(1, 517, 1, 9);
  for (float& value : x.data) value = -1e9f;
  x.at(0, 7, 0, 1) = 126.0f;
  check(conv, x);
}

// Head, body and tail of a network: a picture in any layout that two ops read, whole vectors in between.
TEST(QuantizedConv, BetweenOtherOps) {
  Random random(run_seed());
  const QuantizedConv head = random_conv(&random, 3, 16, 3, 0, 255), tail = random_conv(&random, 16, 12, 3, 2047, 2047);
  Net net;
  const int x = net.input(ValueKind::map, 3), body = net.value(ValueKind::map, 16), sum = net.value(ValueKind::map, 16);
  const int pixels = net.value(ValueKind::map, 12);
  net.outputs = {net.value(ValueKind::map, 3, 2)};
  add_op(head, x, body, &net);
  net.ops.push_back({OpKind::add, {body, body}, {sum}, {}, {}});
  add_op(tail, sum, pixels, &net);
  net.ops.push_back({OpKind::pixel_shuffle, {pixels, x}, net.outputs, {}, {2}});
  const Map picture = random_map(&random, 2, 3, 5, 9);
  const Map features = expected(head, picture);
  expect_everywhere(net, {picture}, {pixel_shuffle(2, expected(tail, add(features, features)), &picture)});
}

Status load(const QuantizedConv& conv) {
  ProgramPointer program;
  return build(net_of(conv), Isa::portable, &program);
}

TEST(QuantizedConv, RefusesWhatItCanNotCompute) {
  Random random(run_seed());
  const auto conv = [&random](int kernel_size, int negative, int positive) {
    return random_conv(&random, 4, 8, kernel_size, negative, positive);
  };
  EXPECT_TRUE(load(conv(3, 2047, 2047)).ok());
  EXPECT_FALSE(load(conv(2, 2047, 2047)).ok());
  EXPECT_FALSE(load(conv(3, 0, 32768)).ok());
  EXPECT_FALSE(load(conv(3, 32769, 0)).ok());
  EXPECT_FALSE(load(conv(3, -1, 5)).ok());
  EXPECT_FALSE(load(conv(3, 0, 0)).ok());
  QuantizedConv changed = conv(3, 8, 7);
  changed.classes = 4;
  EXPECT_FALSE(load(changed).ok());
  changed = conv(1, 8, 7);
  changed.classes = 16;
  changed.bias = random.reals(16 * 8);
  EXPECT_FALSE(load(changed).ok());
  changed = conv(3, 8, 7);
  changed.weight.pop_back();
  EXPECT_FALSE(load(changed).ok());
  changed = conv(3, 8, 7);
  changed.inverse_step.push_back(1.0f);
  EXPECT_FALSE(load(changed).ok());
  // 517 * 127 * 32768 does not fit 32 bits.
  changed = {517,    1,      1, 1, 32768, 0, std::vector<float>(517, 1.0f), std::vector<int16_t>(517, -127),
             {1.0f}, {0.0f}, {}};
  const Status status = load(changed);
  EXPECT_FALSE(status.ok());
  EXPECT_NE(std::string(status.message).find("sums of channel 0 up to 2151514112"), std::string::npos)
      << status.message;
}

}  // namespace
}  // namespace bitsr_test
