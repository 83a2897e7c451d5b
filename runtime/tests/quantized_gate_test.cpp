// The quantized spatial gate: its sums are integers and exact, so that a gate without a sigmoid's rounding in between
// is known to the bit; the kernels among each other bit for bit.
#include <cmath>
#include <limits>

#include "random.h"
#include "random_conv.h"
#include "reference.h"

namespace bitsr_test {
namespace {

struct QuantizedGate {
  int kernel_size, negative, positive;
  std::vector<int8_t> weight;  // [kernel_size][kernel_size][c]
  float inverse_step, scale, bias;
};

Net net_of(const QuantizedGate& gate, int channels) {
  Net net;
  const int in = net.input(ValueKind::map, channels);
  net.outputs = {net.value(ValueKind::plane, 1)};
  const auto number = [](float value) { return to_bytes(std::vector<float>{value}); };
  net.ops.push_back({OpKind::quantized_spatial_gate,
                     {in},
                     net.outputs,
                     {to_bytes(gate.weight), number(gate.inverse_step), number(gate.scale), number(gate.bias)},
                     {gate.kernel_size, gate.negative, gate.positive}});
  return net;
}

int level(const QuantizedGate& gate, float x) {
  const float v = x * gate.inverse_step;
  const auto lower = static_cast<float>(-gate.negative), upper = static_cast<float>(gate.positive);
  if (!(v > lower)) return -gate.negative;
  return static_cast<int>(std::nearbyint(v < upper ? v : upper));
}

int64_t dot(const QuantizedGate& gate, const Map& x, int64_t image, int64_t y, int64_t column) {
  int64_t sum = 0;
  for (int ky = 0; ky < gate.kernel_size; ++ky)
    for (int kx = 0; kx < gate.kernel_size; ++kx)
      for (int64_t c = 0; c < x.c; ++c) {
        const int64_t from_y = y + ky - gate.kernel_size / 2, from_x = column + kx - gate.kernel_size / 2;
        if (from_y < 0 || from_y >= x.h || from_x < 0 || from_x >= x.w) continue;
        sum += level(gate, x.at(image, c, from_y, from_x)) *
               int64_t{gate.weight[static_cast<size_t>((ky * gate.kernel_size + kx) * x.c + c)]};
      }
  return sum;
}

// A 1x1 float gate over the map of exact sums has the same sigmoid, to the bit.
std::vector<Map> expected(const QuantizedGate& gate, const Map& x) {
  Map z(x.n, 1, x.h, x.w);
  for (int64_t i = 0; i < x.n; ++i)
    for (int64_t y = 0; y < x.h; ++y)
      for (int64_t column = 0; column < x.w; ++column)
        z.at(i, 0, y, column) = std::fma(static_cast<float>(dot(gate, x, i, y, column)), gate.scale, gate.bias);
  Net sigmoid;
  const int in = sigmoid.input(ValueKind::map, 1);
  sigmoid.outputs = {sigmoid.value(ValueKind::plane, 1)};
  const auto number = [](float value) { return to_bytes(std::vector<float>{value}); };
  sigmoid.ops.push_back({OpKind::spatial_gate, {in}, sigmoid.outputs, {number(1.0f), number(0.0f)}, {1}});
  return run(sigmoid, {z}, Isa::portable);
}

void check(const QuantizedGate& gate, const Map& x) {
  SCOPED_TRACE(std::to_string(x.c) + " channels, kernel " + std::to_string(gate.kernel_size) + ", levels -" +
               std::to_string(gate.negative) + " to " + std::to_string(gate.positive) + ", " + std::to_string(x.h) +
               "x" + std::to_string(x.w));
  expect_everywhere(net_of(gate, static_cast<int>(x.c)), {x}, expected(gate, x));
}

QuantizedGate random_gate(Random* random, int kernel_size, int channels, int negative, int positive) {
  QuantizedGate gate = {kernel_size, negative, positive, {}, 0.7f + static_cast<float>(positive), 0.0f, random->real()};
  for (int i = 0; i < kernel_size * kernel_size * channels; ++i)
    gate.weight.push_back(static_cast<int8_t>(random->below(256) - 128));
  // Sums of the usual size end up between -4 and 4, where the sigmoid shows every one of them.
  gate.scale = 4.0f / (std::sqrt(static_cast<float>(gate.weight.size())) * 64.0f * static_cast<float>(positive + 1));
  return gate;
}

TEST(QuantizedGate, RandomShapesAndLevels) {
  Random random(run_seed());
  const int levels[][2] = {{128, 127}, {8, 7}, {0, 255}, {1, 0}, {0, 1}, {255, 0}};
  for (const int channels : {1, 3, 16, 63, 64, 65, 130})
    for (const int kernel_size : {1, 3})
      for (const auto& pair : levels) {
        const int64_t h = 1 + random.below(5), w = 1 + random.below(35);
        check(random_gate(&random, kernel_size, channels, pair[0], pair[1]),
              random_map(&random, 1 + random.below(2), channels, h, w));
        if (HasFatalFailure()) return;
      }
}

TEST(QuantizedGate, LargestSumsAreExact) {
  // 65536 * 128 * 128 = 2^30: far beyond the integers that a float holds.
  QuantizedGate gate = {1, 128, 127, std::vector<int8_t>(65536, -128), 1.0f, 0x1p-30f, 0.0f};
  Map x(1, 65536, 1, 2);
  for (float& value : x.data) value = -1e9f;
  x.at(0, 7, 0, 1) = 126.0f;
  check(gate, x);
}

TEST(QuantizedGate, RoundsHalvesToEvenAndTakesAnyFloat) {
  const float inf = std::numeric_limits<float>::infinity(), largest = std::numeric_limits<float>::max();
  Map x(1, 1, 1, 14);
  x.data = {-2.5f, -1.5f, -0.5f, 0.5f, 1.5f, 2.5f, -0.0f, 1e-40f, -inf, inf, largest, -largest, std::nanf(""), 7.5f};
  check({1, 8, 7, {1}, 1.0f, 0.25f, 0.125f}, x);
  const std::vector<Map> got = run(net_of({1, 8, 7, {1}, 1.0f, 1.0f, 8.0f}, 1), {x}, Isa::portable);
  // NaN counts as the lowest level, -8: sigmoid(0).
  EXPECT_EQ(got.at(0).at(0, 0, 0, 12), 0.5f);
}

Status load(const QuantizedGate& gate, int channels) {
  ProgramPointer program;
  return build(net_of(gate, channels), Isa::portable, &program);
}

TEST(QuantizedGate, RefusesWhatItCanNotCompute) {
  const auto gate = [](int kernel_size, int negative, int positive, size_t weights) {
    return QuantizedGate{kernel_size, negative, positive, std::vector<int8_t>(weights, 1), 1.0f, 1.0f, 0.0f};
  };
  EXPECT_TRUE(load(gate(1, 128, 127, 4), 4).ok());
  EXPECT_FALSE(load(gate(2, 128, 127, 16), 4).ok());
  EXPECT_FALSE(load(gate(1, 128, 128, 4), 4).ok());
  EXPECT_FALSE(load(gate(1, 0, 0, 4), 4).ok());
  EXPECT_FALSE(load(gate(1, -1, 3, 4), 4).ok());
  EXPECT_FALSE(load(gate(1, 8, 7, 5), 4).ok());
  // 9 * 16000 * 128 * 128 does not fit 32 bits.
  EXPECT_FALSE(load(gate(3, 128, 127, 9 * 16000), 16000).ok());
}

}  // namespace
}  // namespace bitsr_test
