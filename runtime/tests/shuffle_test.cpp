// add and pixel_shuffle, which have nothing to round but one sum: exact.
#include "random.h"
#include "random_conv.h"

namespace bitsr_test {
namespace {

TEST(Add, EqualsTheReference) {
  Random random(run_seed());
  for (const int channels : {1, 3, 16, 63, 64, 100}) {
    Net net;
    const int a = net.input(ValueKind::map, channels), b = net.input(ValueKind::map, channels);
    net.outputs = {net.value(ValueKind::map, channels)};
    net.ops.push_back({OpKind::add, {a, b}, net.outputs, {}, {}});
    const int64_t h = 1 + random.below(9), w = 1 + random.below(9);
    const Map x = random_map(&random, 2, channels, h, w), y = random_map(&random, 2, channels, h, w);
    expect_everywhere(net, {x, y}, {add(x, y)});
  }
}

TEST(Add, ToItself) {
  Random random(run_seed());
  Net net;
  const int a = net.input(ValueKind::map, 20);
  net.outputs = {net.value(ValueKind::map, 20)};
  net.ops.push_back({OpKind::add, {a, a}, net.outputs, {}, {}});
  const Map x = random_map(&random, 1, 20, 3, 5);
  expect_everywhere(net, {x}, {add(x, x)});
}

TEST(PixelShuffle, WithAndWithoutSkip) {
  Random random(run_seed());
  for (const int factor : {2, 3, 4, 8})
    for (const int channels : {1, 3, 16, 17})
      for (const bool with_skip : {false, true}) {
        SCOPED_TRACE("factor " + std::to_string(factor) + ", " + std::to_string(channels) + " channels");
        const int64_t h = 1 + random.below(5), w = 1 + random.below(9);
        std::vector<Map> inputs = {random_map(&random, 2, channels * factor * factor, h, w)};
        if (with_skip) inputs.push_back(random_map(&random, 2, channels, h, w));
        Net net;
        const int x = net.input(ValueKind::map, channels * factor * factor);
        const int skip = with_skip ? net.input(ValueKind::map, channels) : kNone;
        net.outputs = {net.value(ValueKind::map, channels, factor)};
        net.ops.push_back({OpKind::pixel_shuffle, {x, skip}, net.outputs, {}, {factor}});
        expect_everywhere(net, inputs, {pixel_shuffle(factor, inputs[0], with_skip ? &inputs[1] : nullptr)});
        if (HasFatalFailure()) return;
      }
}

}  // namespace
}  // namespace bitsr_test
