// Ops that give every element of a map by a fixed order of float operations (law 6): channel_norm, pixel_gate, rescale.
// The references write that order down in plain C++, so that every bit is known.
#include <cmath>
#include <limits>

#include "random.h"
#include "random_conv.h"
#include "reference.h"

namespace bitsr_test {
namespace {

struct Norm {
  std::vector<float> weight, bias;  // [c]
  float epsilon;
};

Net net_of(const Norm& norm, int channels) {
  Net net;
  const int in = net.input(ValueKind::map, channels);
  net.outputs = {net.value(ValueKind::map, channels)};
  net.ops.push_back({OpKind::channel_norm,
                     {in},
                     net.outputs,
                     {to_bytes(norm.weight), to_bytes(norm.bias), to_bytes(std::vector<float>{norm.epsilon})},
                     {}});
  return net;
}

// 16 lanes over the blocks of 16 channels, then the lanes as a tree.
template <class Add>
float lane_sum(int64_t channels, const Add& add) {
  float lanes[16] = {};
  for (int64_t c = 0; c < channels; ++c) lanes[c % 16] = add(lanes[c % 16], c);
  for (int half = 8; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) lanes[l] = lanes[l] + lanes[l + half];
  return lanes[0];
}

Map expected(const Norm& norm, const Map& x) {
  Map y(x.n, x.c, x.h, x.w);
  const auto count = static_cast<float>(x.c);
  for (int64_t i = 0; i < x.n; ++i)
    for (int64_t row = 0; row < x.h; ++row)
      for (int64_t column = 0; column < x.w; ++column) {
        const auto at = [&](int64_t c) { return x.at(i, c, row, column); };
        const float mean = lane_sum(x.c, [&](float sum, int64_t c) { return sum + at(c); }) / count;
        const float squares = lane_sum(x.c, [&](float sum, int64_t c) {
          const float d = at(c) - mean;
          return std::fma(d, d, sum);
        });
        const float inverse = 1.0f / std::sqrt(squares / count + norm.epsilon);
        for (int64_t c = 0; c < x.c; ++c)
          y.at(i, c, row, column) = std::fma((at(c) - mean) * inverse, norm.weight[static_cast<size_t>(c)],
                                             norm.bias[static_cast<size_t>(c)]);
      }
  return y;
}

std::string shape_of(const Map& x) {
  return std::to_string(x.c) + " channels, " + std::to_string(x.h) + "x" + std::to_string(x.w);
}

TEST(ChannelNorm, RandomShapes) {
  Random random(run_seed());
  for (const int channels : {1, 3, 15, 16, 17, 60, 64, 65, 130})
    for (int turn = 0; turn < 4; ++turn) {
      const Map x =
          random_map(&random, 1 + random.below(2), channels, 1 + random.below(5), 1 + random.below(turn ? 20 : 60));
      SCOPED_TRACE(shape_of(x));
      const auto count = static_cast<size_t>(channels);
      const Norm norm = {random.reals(count), random.reals(count), 1e-5f};
      expect_everywhere(net_of(norm, channels), {x}, {expected(norm, x)});
      if (HasFatalFailure()) return;
    }
}

TEST(ChannelNorm, EqualChannelsGiveTheBiasAndAnythingGoesThrough) {
  Random random(run_seed());
  const Norm norm = {random.reals(20), random.reals(20), 1e-5f};
  Map x(1, 20, 1, 3);
  for (float& value : x.data) value = 3.25f;
  x.at(0, 4, 0, 1) = std::numeric_limits<float>::infinity();
  x.at(0, 7, 0, 2) = std::numeric_limits<float>::quiet_NaN();
  const std::vector<Map> got = run(net_of(norm, 20), {x}, Isa::portable);
  for (int c = 0; c < 20; ++c) {
    EXPECT_EQ(got.at(0).at(0, c, 0, 0), norm.bias[static_cast<size_t>(c)]);
    EXPECT_TRUE(std::isnan(got.at(0).at(0, c, 0, 1)));
    EXPECT_TRUE(std::isnan(got.at(0).at(0, c, 0, 2)));
  }
}

struct PixelGate {
  int channels, out;
  std::vector<float> weight, bias;  // [out][channels], [out]
};

Net net_of(const PixelGate& gate) {
  Net net;
  const int in = net.input(ValueKind::map, gate.channels);
  net.outputs = {net.value(ValueKind::map, gate.out)};
  net.ops.push_back({OpKind::pixel_gate, {in}, net.outputs, {to_bytes(gate.weight), to_bytes(gate.bias)}, {gate.out}});
  return net;
}

// A 1x1 float gate over one channel is the sigmoid alone, to the bit.
Map sigmoid(const Map& z) {
  Net net;
  const int in = net.input(ValueKind::map, 1);
  net.outputs = {net.value(ValueKind::plane, 1)};
  const auto number = [](float value) { return to_bytes(std::vector<float>{value}); };
  net.ops.push_back({OpKind::spatial_gate, {in}, net.outputs, {number(1.0f), number(0.0f)}, {1}});
  Map flat(1, 1, 1, z.n * z.c * z.h * z.w);
  flat.data = z.data;
  Map y = z;
  y.data = run(net, {flat}, Isa::portable).at(0).data;
  return y;
}

Map expected(const PixelGate& gate, const Map& x) {
  Map z(x.n, gate.out, x.h, x.w);
  for (int64_t i = 0; i < x.n; ++i)
    for (int64_t o = 0; o < gate.out; ++o)
      for (int64_t row = 0; row < x.h; ++row)
        for (int64_t column = 0; column < x.w; ++column) {
          float sum = gate.bias[static_cast<size_t>(o)];
          for (int64_t c = 0; c < x.c; ++c)
            sum = std::fma(gate.weight[static_cast<size_t>(o * x.c + c)], x.at(i, c, row, column), sum);
          z.at(i, o, row, column) = sum;
        }
  return sigmoid(z);
}

TEST(PixelGate, RandomShapes) {
  Random random(run_seed());
  for (const int channels : {1, 8, 17, 64, 65})
    for (const int out : {1, 16, 30, 64, 70}) {
      const Map x = random_map(&random, 1 + random.below(2), channels, 1 + random.below(4), 1 + random.below(21));
      SCOPED_TRACE(shape_of(x) + " to " + std::to_string(out));
      const PixelGate gate = {channels, out, random.reals(static_cast<size_t>(channels) * static_cast<size_t>(out)),
                              random.reals(static_cast<size_t>(out))};
      expect_everywhere(net_of(gate), {x}, {expected(gate, x)});
      if (HasFatalFailure()) return;
    }
}

// Every choice of what a rescale may be given, in the order of its operands; the plane is made by a gate.
TEST(Rescale, EveryChoiceOfOperands) {
  Random random(run_seed());
  for (int parts = 0; parts < 32; ++parts) {
    const bool scaled = (parts & 1) != 0, spatial = (parts & 4) != 0;
    const int channels = random.pick(std::vector<int>{1, 16, 40, 65});
    const int64_t h = 1 + random.below(4), w = 1 + random.below(21);
    SCOPED_TRACE("parts " + std::to_string(parts) + ", " + std::to_string(channels) + " channels, " +
                 std::to_string(h) + "x" + std::to_string(w));
    const auto count = static_cast<size_t>(channels);
    Net net;
    std::vector<int> ids(5, kNone);
    std::vector<Map> given(5);
    std::vector<Map> inputs;
    const auto take = [&](size_t place, ValueKind kind, Map map) {
      ids[place] = net.input(kind, static_cast<int>(map.c));
      given[place] = map;
      inputs.push_back(std::move(map));
    };
    take(0, ValueKind::map, random_map(&random, 1, channels, h, w));
    if (parts & 2) take(1, ValueKind::vector, random_map(&random, 1, channels, 1, 1));
    if (spatial) take(2, ValueKind::plane, random_map(&random, 1, 1, h, w));
    if (parts & 8) take(3, ValueKind::map, random_map(&random, 1, channels, h, w));
    if (parts & 16) take(4, ValueKind::map, random_map(&random, 1, channels, h, w));
    const std::vector<float> scale = scaled ? random.reals(count) : std::vector<float>{};
    net.outputs = {net.value(ValueKind::map, channels)};
    net.ops.push_back({OpKind::rescale, ids, net.outputs, {to_bytes(scale)}, {}});
    Map y = given[0];
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t row = 0; row < h; ++row)
        for (int64_t column = 0; column < w; ++column) {
          float& z = y.at(0, c, row, column);
          if (scaled) z = z * scale[static_cast<size_t>(c)];
          if (given[1].n) z = z * given[1].at(0, c, 0, 0);
          if (given[2].n) z = z * given[2].at(0, 0, row, column);
          if (given[3].n) z = z * given[3].at(0, c, row, column);
          if (given[4].n) z = z + given[4].at(0, c, row, column);
        }
    expect_everywhere(net, inputs, {y});
    if (HasFatalFailure()) return;
  }
}

// Norms and rescales write over operands that nothing reads any more, and over no other.
TEST(Rescale, MayWriteOverItsOperands) {
  Random random(run_seed());
  const int channels = 20;
  const Map x = random_map(&random, 1, channels, 3, 19);
  const Norm norm = {random.reals(20), random.reals(20), 1e-5f};
  const std::vector<float> scale = random.reals(20);
  Net net;
  const int in = net.input(ValueKind::map, channels);
  const auto norm_of = [&](int from) {
    const int to = net.value(ValueKind::map, channels);
    net.ops.push_back({OpKind::channel_norm,
                       {from},
                       {to},
                       {to_bytes(norm.weight), to_bytes(norm.bias), to_bytes(std::vector<float>{norm.epsilon})},
                       {}});
    return to;
  };
  const int once = norm_of(in), twice = norm_of(once);
  const int y = net.value(ValueKind::map, channels), z = net.value(ValueKind::map, channels);
  net.ops.push_back({OpKind::rescale, {once, kNone, kNone, twice, twice}, {y}, {to_bytes(scale)}, {}});
  net.ops.push_back({OpKind::rescale, {y, kNone, kNone, y, y}, {z}, {{}}, {}});
  net.outputs = {z};
  const Map a = expected(norm, x), b = expected(norm, a);
  Map want = x;
  for (size_t i = 0; i < want.data.size(); ++i) {
    const auto channel = i / static_cast<size_t>(x.h * x.w);
    const float first = a.data[i] * scale[channel] * b.data[i] + b.data[i];
    want.data[i] = first * first + first;
  }
  expect_everywhere(net, {x}, {want});
}

Status load(const Net& net) {
  ProgramPointer program;
  return build(net, Isa::portable, &program);
}

TEST(MapOps, RefuseWhatTheyCanNotCompute) {
  EXPECT_TRUE(load(net_of(Norm{std::vector<float>(4, 1.0f), std::vector<float>(4), 1e-5f}, 4)).ok());
  EXPECT_FALSE(load(net_of(Norm{std::vector<float>(5, 1.0f), std::vector<float>(4), 1e-5f}, 4)).ok());
  EXPECT_FALSE(load(net_of(Norm{std::vector<float>(4, 1.0f), {}, 1e-5f}, 4)).ok());
  EXPECT_TRUE(load(net_of(PixelGate{2, 3, std::vector<float>(6), std::vector<float>(3)})).ok());
  EXPECT_FALSE(load(net_of(PixelGate{2, 3, std::vector<float>(5), std::vector<float>(3)})).ok());
  EXPECT_FALSE(load(net_of(PixelGate{2, 0, {}, {}})).ok());
  const auto rescale = [](ValueKind gain, int channels, int residual) {
    Net net;
    const int x = net.input(ValueKind::map, 4), spatial = net.input(gain, channels);
    const int added = net.input(ValueKind::map, residual);
    net.outputs = {net.value(ValueKind::map, 4)};
    net.ops.push_back({OpKind::rescale, {x, kNone, spatial, kNone, added}, net.outputs, {{}}, {}});
    return load(net);
  };
  EXPECT_TRUE(rescale(ValueKind::plane, 1, 4).ok());
  EXPECT_FALSE(rescale(ValueKind::map, 1, 4).ok());
  EXPECT_FALSE(rescale(ValueKind::plane, 1, 3).ok());
}

}  // namespace
}  // namespace bitsr_test
