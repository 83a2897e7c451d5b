// Values of pixels: 8 bits in and out are the floats that they stand for, in both layouts.
#include <cmath>
#include <limits>

#include "random.h"
#include "random_conv.h"

namespace bitsr_test {
namespace {

using Levels = std::vector<uint8_t>;

// (x of 12 channels and a skip of 3) -> shuffle by 2; the ends are of `kind`.
Net shuffle(ValueKind kind) {
  Net net;
  const int x = net.input(kind, 12), skip = net.input(kind, 3);
  net.outputs = {net.value(kind, 3, 2)};
  net.ops.push_back({OpKind::pixel_shuffle, {x, skip}, net.outputs, {}, {2}});
  return net;
}

Net sum(ValueKind kind, int channels) {
  Net net;
  const int a = net.input(kind, channels), b = net.input(ValueKind::map, channels);
  net.outputs = {net.value(kind, channels)};
  net.ops.push_back({OpKind::add, {a, b}, net.outputs, {}, {}});
  return net;
}

uint8_t level(float value) {
  if (std::isnan(value)) return 0;
  return static_cast<uint8_t>(std::floor(std::fmin(std::fmax(value, 0.0f), 1.0f) * 255.0f + 0.5f));
}

Map values(const Levels& levels, int64_t n, int64_t c, int64_t h, int64_t w) {
  Map map(n, c, h, w);
  for (size_t i = 0; i < levels.size(); ++i) map.data[i] = static_cast<float>(levels[i]) / 255.0f;
  return map;
}

// NCHW to NHWC.
Levels turned(const Levels& from, int64_t n, int64_t c, int64_t pixels) {
  Levels to(from.size());
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < c; ++k)
      for (int64_t p = 0; p < pixels; ++p)
        to[static_cast<size_t>((i * pixels + p) * c + k)] = from[static_cast<size_t>((i * c + k) * pixels + p)];
  return to;
}

Levels random_levels(Random* random, int64_t count) {
  Levels levels(static_cast<size_t>(count));
  for (uint8_t& one : levels) one = static_cast<uint8_t>(random->below(256));
  return levels;
}

TEST(Pixels, AreWhatTheirFloatsGive) {
  Random random(run_seed());
  for (const int channels : {3, 16, 20}) {
    const int64_t h = 1 + random.below(7), w = 1 + random.below(9), count = 2 * channels * h * w;
    const Levels levels = random_levels(&random, count);
    Map other = random_map(&random, 2, channels, h, w);
    other.data[0] = std::numeric_limits<float>::quiet_NaN();
    const Map expected = add(values(levels, 2, channels, h, w), other);
    Levels wanted;
    for (const float value : expected.data) wanted.push_back(level(value));
    for (const Isa isa : available_isas())
      for (const Layout layout : {Layout::nchw, Layout::nhwc}) {
        ProgramPointer program;
        ASSERT_TRUE(build(sum(ValueKind::pixels, channels), isa, &program).ok());
        EXPECT_TRUE(program->input_is_pixels(0) && !program->input_is_pixels(1) && program->output_is_pixels(0));
        const bool nhwc = layout == Layout::nhwc;
        Levels in = nhwc ? turned(levels, 2, channels, h * w) : levels, out(levels.size());
        const bitsr::TensorView inputs[] = {{nullptr, 2, channels, h, w, layout, in.data()},
                                            {other.data.data(), 2, channels, h, w, Layout::nchw}};
        const bitsr::TensorView output = {nullptr, 2, channels, h, w, layout, out.data()};
        const Status status = program->run(inputs, &output);
        ASSERT_TRUE(status.ok()) << status.message;
        EXPECT_EQ(nhwc ? turned(wanted, 2, channels, h * w) : wanted, out) << channels << " channels";
      }
  }
}

TEST(Pixels, HalvesAreRoundedUp) {
  for (int i = 0; i < 255; ++i) {
    ProgramPointer program;
    ASSERT_TRUE(build(sum(ValueKind::pixels, 1), Isa::portable, &program).ok());
    uint8_t in = 0, out = 0;
    float half = (static_cast<float>(i) + 0.5f) / 255.0f;
    const bitsr::TensorView inputs[] = {{nullptr, 1, 1, 1, 1, Layout::nchw, &in}, {&half, 1, 1, 1, 1, Layout::nchw}};
    const bitsr::TensorView output = {nullptr, 1, 1, 1, 1, Layout::nchw, &out};
    ASSERT_TRUE(program->run(inputs, &output).ok());
    EXPECT_EQ(level(half), out);
  }
}

// Who hands over floats gets what the program without pixels gives.
TEST(Pixels, AsFloatsAreMaps) {
  Random random(run_seed());
  const Map x = random_map(&random, 2, 12, 4, 5), skip = random_map(&random, 2, 3, 4, 5);
  expect_everywhere(shuffle(ValueKind::pixels), {x, skip}, {pixel_shuffle(2, x, &skip)});
}

TEST(Pixels, OfAnotherValueAreRefused) {
  ProgramPointer program;
  ASSERT_TRUE(build(shuffle(ValueKind::map), Isa::portable, &program).ok());
  uint8_t levels[12] = {};
  float floats[12] = {};
  const bitsr::TensorView inputs[] = {{nullptr, 1, 12, 1, 1, Layout::nchw, levels}, {floats, 1, 3, 1, 1, Layout::nchw}};
  const bitsr::TensorView output = {floats, 1, 3, 2, 2, Layout::nchw};
  const Status status = program->run(inputs, &output);
  EXPECT_EQ(StatusCode::invalid_argument, status.code);
  EXPECT_NE(nullptr, strstr(status.message, "8 bits, expected float32")) << status.message;
}

TEST(Pixels, AreEndsAlone) {
  ProgramPointer program;
  Net between = sum(ValueKind::map, 2);
  between.values.back().kind = ValueKind::pixels;
  const int more = between.value(ValueKind::map, 2);
  between.ops.push_back({OpKind::add, {between.outputs[0], 0}, {more}, {}, {}});
  between.outputs.push_back(more);
  EXPECT_NE(nullptr, strstr(build(between, Isa::portable, &program).message, "pixels that an op writes"));
  Net unread = sum(ValueKind::map, 2);
  unread.ops.push_back({OpKind::add, {0, 1}, {unread.value(ValueKind::pixels, 2)}, {}, {}});
  EXPECT_NE(nullptr, strstr(build(unread, Isa::portable, &program).message, "no output"));
}

}  // namespace
}  // namespace bitsr_test
