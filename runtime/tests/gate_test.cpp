// The gates against a double reference; the kernels among each other bit for bit.
#include <limits>

#include "random.h"
#include "random_conv.h"

namespace bitsr_test {
namespace {

Gate random_gate(Random* random, int channels, int hidden, int all, int linear) {
  const auto r = static_cast<size_t>(hidden), k = static_cast<size_t>(all);
  return {
      channels,        hidden, all, linear, random->reals(r * channels), random->reals(r), random->reals(k * r, 3.0f),
      random->reals(k)};
}

Net gate_net(const Gate& gate) {
  Net net;
  const int x = net.input(ValueKind::map, gate.channels);
  const int linear = gate.linear > 0 ? net.value(ValueKind::vector, gate.linear) : kNone;
  const int sigmoid = gate.linear < gate.all ? net.value(ValueKind::vector, gate.all - gate.linear) : kNone;
  net.ops.push_back({OpKind::channel_gate,
                     {x},
                     {linear, sigmoid},
                     {to_bytes(gate.w1), to_bytes(gate.b1), to_bytes(gate.w2), to_bytes(gate.b2)},
                     {gate.hidden, gate.all, gate.linear}});
  for (const int id : {linear, sigmoid})
    if (id != kNone) net.outputs.push_back(id);
  return net;
}

// The op's outputs as one vector per image, the linear part first.
Map joined(const std::vector<Map>& parts) {
  int64_t channels = 0;
  for (const Map& part : parts) channels += part.c;
  Map all(parts.at(0).n, channels, 1, 1);
  for (int64_t i = 0; i < all.n; ++i) {
    int64_t c = 0;
    for (const Map& part : parts)
      for (int64_t k = 0; k < part.c; ++k) all.at(i, c++, 0, 0) = part.at(i, k, 0, 0);
  }
  return all;
}

void check_channel_gate(const Gate& gate, const Map& x) {
  SCOPED_TRACE(std::to_string(gate.channels) + " channels, " + std::to_string(gate.hidden) + " hidden, " +
               std::to_string(gate.linear) + " of " + std::to_string(gate.all) + " linear, " + std::to_string(x.h) +
               "x" + std::to_string(x.w));
  const Net net = gate_net(gate);
  const std::vector<Map> got = run(net, {x}, Isa::portable);
  ASSERT_TRUE(within(channel_gate(gate, x), joined(got)));
  expect_everywhere(net, {x}, got);
}

TEST(ChannelGate, LinearSigmoidAndBoth) {
  Random random(run_seed());
  for (const int channels : {1, 3, 16, 63, 64, 65, 130})
    for (const int linear : {0, channels, 2 * channels}) {
      const Gate gate = random_gate(&random, channels, 1 + static_cast<int>(random.below(20)), 2 * channels, linear);
      check_channel_gate(gate, random_map(&random, 2, channels, 1 + random.below(9), 1 + random.below(20)));
      if (HasFatalFailure()) return;
    }
}

TEST(ChannelGate, OtherOutputCounts) {
  Random random(run_seed());
  for (const int all : {1, 5, 16, 17, 40}) {
    check_channel_gate(random_gate(&random, 24, 3, all, 0), random_map(&random, 1, 24, 5, 4));
    if (HasFatalFailure()) return;
  }
}

void check_spatial_gate(int kernel_size, const std::vector<float>& weight, float bias, const Map& x) {
  SCOPED_TRACE(std::to_string(x.c) + " channels, kernel " + std::to_string(kernel_size) + ", " + std::to_string(x.h) +
               "x" + std::to_string(x.w));
  Net net;
  const int in = net.input(ValueKind::map, static_cast<int>(x.c));
  net.outputs = {net.value(ValueKind::plane, 1)};
  net.ops.push_back(
      {OpKind::spatial_gate, {in}, net.outputs, {to_bytes(weight), to_bytes(std::vector<float>{bias})}, {kernel_size}});
  const std::vector<Map> got = run(net, {x}, Isa::portable);
  ASSERT_TRUE(within(spatial_gate(kernel_size, weight, bias, x), got.at(0)));
  expect_everywhere(net, {x}, got);
}

TEST(SpatialGate, RandomShapes) {
  Random random(run_seed());
  for (const int channels : {1, 3, 8, 16, 63, 64, 65, 100, 130})
    for (const int kernel_size : {1, 3})
      for (int i = 0; i < 3; ++i) {
        const auto taps = static_cast<size_t>(kernel_size * kernel_size * channels);
        const int64_t h = 1 + random.below(6), w = 1 + random.below(40);
        check_spatial_gate(kernel_size, random.reals(taps), random.real(),
                           random_map(&random, 1 + random.below(2), channels, h, w));
        if (HasFatalFailure()) return;
      }
}

TEST(SpatialGate, ThinPictures) {
  Random random(run_seed());
  const int64_t sizes[][2] = {{1, 1}, {1, 2}, {2, 1}, {1, 17}, {17, 1}, {2, 16}, {1, 18}, {3, 33}};
  for (const auto& size : sizes)
    for (const int kernel_size : {1, 3}) {
      const auto taps = static_cast<size_t>(kernel_size * kernel_size * 64);
      check_spatial_gate(kernel_size, random.reals(taps), 0.5f, random_map(&random, 1, 64, size[0], size[1]));
      if (HasFatalFailure()) return;
    }
}

// The sigmoid over its whole range: a 1x1 gate with weight 1 passes its input on.
TEST(SpatialGate, SigmoidOverItsWholeRange) {
  Map x(1, 1, 1, 40001);
  for (int64_t i = 0; i < x.w; ++i) x.at(0, 0, 0, i) = static_cast<float>(i - 20000) / 200.0f;  // -100 to 100
  check_spatial_gate(1, {1.0f}, 0.0f, x);
  const float inf = std::numeric_limits<float>::infinity(), largest = std::numeric_limits<float>::max();
  Map extremes(1, 1, 1, 5);
  extremes.data = {-inf, -largest, 0.0f, largest, inf};
  check_spatial_gate(1, {1.0f}, 0.0f, extremes);
}

}  // namespace
}  // namespace bitsr_test
