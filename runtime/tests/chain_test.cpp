// Programs of several ops: memory that is shared, overwritten and kept must not change a bit. What a chain should give
// is computed op by op, each as a program of its own.
#include "random.h"
#include "random_conv.h"

namespace bitsr_test {
namespace {

// Every op of `net` alone, on the portable kernel. Returns the values of the net's outputs.
std::vector<Map> op_by_op(const Net& net, const std::vector<Map>& inputs) {
  std::vector<Map> values(net.values.size());
  for (size_t i = 0; i < net.inputs.size(); ++i) values[static_cast<size_t>(net.inputs[i])] = inputs[i];
  for (const NetOp& op : net.ops) {
    Net one;
    NetOp copy = op;
    std::vector<Map> in;
    std::vector<int> ids(net.values.size(), kNone);
    const NetValue& first = net.values[static_cast<size_t>(op.inputs[0])];
    const auto add_value = [&](int id) {
      // Sizes of the program count from its first input.
      const NetValue& v = net.values[static_cast<size_t>(id)];
      return one.value(v.kind, v.channels, v.up * first.down, v.down * first.up);
    };
    for (int& id : copy.inputs)
      if (id != kNone) {
        int& mine = ids[static_cast<size_t>(id)];
        if (mine == kNone) {
          mine = add_value(id);
          if (one.inputs.empty()) one.values.back().up = one.values.back().down = 1;
          one.inputs.push_back(mine);
          in.push_back(values[static_cast<size_t>(id)]);
        }
        id = mine;
      }
    for (int& id : copy.outputs)
      if (id != kNone) {
        id = add_value(id);
        one.outputs.push_back(id);
      }
    one.ops.push_back(copy);
    const std::vector<Map> out = run(one, in, Isa::portable);
    size_t next = 0;
    for (const int id : op.outputs)
      if (id != kNone) values[static_cast<size_t>(id)] = out.at(next++);
  }
  std::vector<Map> outputs;
  for (const int id : net.outputs) outputs.push_back(values[static_cast<size_t>(id)]);
  return outputs;
}

// A net under construction; its ops get random constants.
struct Builder {
  Random random;
  Net net;

  explicit Builder(uint64_t seed) : random(seed) {}

  struct ConvIds {
    int threshold = kNone, channel_gain = kNone, spatial_gain = kNone, residual = kNone;
  };

  int conv(int x, int out, int kernel_size, int planes, const ConvIds& ids) {
    const NetValue from = net.values[static_cast<size_t>(x)];
    const int parts = ConvCase::kShift | ConvCase::kSlope | (ids.threshold == kNone ? 0 : ConvCase::kVectorThreshold);
    const ConvCase part = random_conv(&random, from.channels, out, kernel_size, planes, 1, 1, 1, parts);
    const int y = net.value(ValueKind::map, out, from.up, from.down);
    net.ops.push_back(part.op({x, ids.threshold, ids.channel_gain, ids.spatial_gain, ids.residual}, y));
    return y;
  }
  int quantized_conv(int x, int out, int kernel_size) {
    const NetValue from = net.values[static_cast<size_t>(x)];
    const auto outs = static_cast<size_t>(out), ins = static_cast<size_t>(from.channels);
    const auto taps = static_cast<size_t>(kernel_size * kernel_size);
    const int classes = kernel_size == 3 && random.coin() ? 16 : 1;
    std::vector<int8_t> weight;
    for (size_t i = 0; i < outs * taps * ins; ++i) weight.push_back(static_cast<int8_t>(random.below(255) - 127));
    const int y = net.value(ValueKind::map, out, from.up, from.down);
    net.ops.push_back({OpKind::quantized_conv2d,
                       {x},
                       {y},
                       {to_bytes(weight), to_bytes(std::vector<float>(ins, 64.0f)), to_bytes(random.reals(outs, 1e-4f)),
                        to_bytes(random.reals(outs * static_cast<size_t>(classes))), to_bytes(random.reals(outs))},
                       {out, kernel_size, classes, 127, 127}});
    return y;
  }
  int rescale(int x, int gain) {
    const NetValue from = net.values[static_cast<size_t>(x)];
    const int y = net.value(ValueKind::map, from.channels, from.up, from.down);
    net.ops.push_back({OpKind::rescale,
                       {x, kNone, kNone, gain, kNone},
                       {y},
                       {to_bytes(random.reals(static_cast<size_t>(from.channels)))},
                       {}});
    return y;
  }
  int add(int a, int b) {
    const NetValue from = net.values[static_cast<size_t>(a)];
    const int y = net.value(ValueKind::map, from.channels, from.up, from.down);
    net.ops.push_back({OpKind::add, {a, b}, {y}, {}, {}});
    return y;
  }
  // Returns the sigmoid part's id; the linear part's is the one before, where `linear` is not 0.
  int channel_gate(int x, int all, int linear) {
    const auto channels = static_cast<size_t>(net.values[static_cast<size_t>(x)].channels),
               outs = static_cast<size_t>(all);
    const int first = linear ? net.value(ValueKind::vector, linear) : kNone;
    const int second = net.value(ValueKind::vector, all - linear);
    net.ops.push_back({OpKind::channel_gate,
                       {x},
                       {first, second},
                       {to_bytes(random.reals(4 * channels)), to_bytes(random.reals(4)),
                        to_bytes(random.reals(4 * outs)), to_bytes(random.reals(outs))},
                       {4, all, linear}});
    return second;
  }
  int spatial_gate(int x, int kernel_size) {
    const NetValue from = net.values[static_cast<size_t>(x)];
    const auto taps = static_cast<size_t>(kernel_size * kernel_size * from.channels);
    const int s = net.value(ValueKind::plane, 1, from.up, from.down);
    net.ops.push_back(
        {OpKind::spatial_gate, {x}, {s}, {to_bytes(random.reals(taps)), to_bytes(random.reals(1))}, {kernel_size}});
    return s;
  }
  int shuffle(int x, int factor, int skip) {
    const NetValue from = net.values[static_cast<size_t>(x)];
    const int y = net.value(ValueKind::map, from.channels / factor / factor, from.up * factor, from.down);
    net.ops.push_back({OpKind::pixel_shuffle, {x, skip}, {y}, {}, {factor}});
    return y;
  }
};

void check(Builder* b, const std::vector<Map>& inputs) { expect_everywhere(b->net, inputs, op_by_op(b->net, inputs)); }

// A residual block whose input lives on, and one whose input dies in it (and is overwritten in place).
TEST(Chain, ResidualsKeptAndOverwritten) {
  for (const int channels : {64, 20}) {
    Builder b(run_seed());
    const int x = b.net.input(ValueKind::map, channels);
    const int a = b.conv(x, channels, 3, 1, {kNone, kNone, kNone, x});
    const int c = b.conv(a, channels, 3, 1, {kNone, kNone, kNone, a});
    const int d = b.conv(c, channels, 1, 2, {kNone, kNone, kNone, a});
    const int e = b.conv(d, channels, 3, 1, {kNone, kNone, kNone, d});
    b.net.outputs = {b.add(b.add(e, c), x)};
    Random random(run_seed());
    check(&b, {random_map(&random, 2, channels, 7, 9)});
  }
}

// The block of EBSR-light: gates and thresholds computed from the same map, then the convolution.
TEST(Chain, GatedBlocks) {
  Builder b(run_seed());
  const int x = b.net.input(ValueKind::map, 64);
  int body = x;
  for (int i = 0; i < 3; ++i) {
    const int gain = b.channel_gate(body, 128, 64);
    const int spatial = b.spatial_gate(body, i == 1 ? 1 : 3);
    body = b.conv(body, 64, 3, 1, {gain - 1, gain, spatial, body});
  }
  const int tail = b.conv(body, 48, 3, 1, {});
  const int skip = b.net.input(ValueKind::map, 3);
  b.net.outputs = {b.shuffle(tail, 4, skip), b.add(body, x)};
  Random random(run_seed());
  check(&b, {random_map(&random, 2, 64, 6, 11), random_map(&random, 2, 3, 6, 11)});
}

TEST(Chain, OutputsThatAreReadLaterAndNeverRead) {
  Builder b(run_seed());
  const int x = b.net.input(ValueKind::map, 32);
  const int a = b.conv(x, 32, 3, 1, {});
  const int unread = b.conv(a, 32, 3, 1, {});
  const int c = b.conv(a, 32, 3, 1, {kNone, kNone, kNone, a});
  const int d = b.add(c, a);
  b.conv(d, 32, 1, 1, {});  // written, never read, no output
  const int e = b.add(d, d);
  b.net.outputs = {c, a, e, unread, d};
  Random random(run_seed());
  check(&b, {random_map(&random, 2, 32, 5, 6)});
}

TEST(Chain, ConvolutionsAfterAShuffle) {
  Builder b(run_seed());
  const int x = b.net.input(ValueKind::map, 64);
  const int large = b.shuffle(b.conv(x, 64, 3, 1, {}), 2, kNone);
  const int a = b.conv(large, 16, 3, 1, {kNone, kNone, b.spatial_gate(large, 3), large});
  const int gain = b.channel_gate(a, 12, 0);
  const int c = b.conv(a, 12, 3, 1, {kNone, gain, kNone, kNone});
  b.net.outputs = {b.shuffle(c, 2, kNone), c};
  Random random(run_seed());
  check(&b, {random_map(&random, 1, 64, 3, 5)});
}

// Rows are worked on in chunks: tall pictures have chunks with an inside, edges that two of them need, and a short last
// one.
TEST(Chain, TallPictures) {
  Builder b(run_seed());
  const int x = b.net.input(ValueKind::map, 64);
  const int a = b.conv(x, 64, 3, 1, {kNone, kNone, kNone, x});
  const int gain = b.channel_gate(a, 128, 64);
  const int c = b.conv(a, 64, 3, 1, {gain - 1, gain, b.spatial_gate(a, 3), a});
  b.net.outputs = {b.conv(c, 64, 1, 1, {kNone, kNone, b.spatial_gate(c, 1), c})};
  Random random(run_seed());
  for (const int64_t height : {15, 16, 17, 31, 33, 47, 50, 97, 130}) {
    SCOPED_TRACE(height);
    check(&b, {random_map(&random, 1, 64, height, 3)});
    if (HasFatalFailure()) return;
  }
}

// A network's end runs strip by strip, and nothing shows where one ends: an upsampler of integers and one of bits,
// layers at full resolution, an enlarged skip of the picture, results of several sizes that are read on.
TEST(Chain, EndsInStrips) {
  for (const int channels : {16, 20}) {
    Builder b(run_seed());
    const int picture = b.net.input(ValueKind::map, 3);
    const int head = b.quantized_conv(picture, channels, 3);
    const int body = b.conv(head, channels, 3, 1, {kNone, kNone, kNone, head});
    const int wide = b.quantized_conv(body, 4 * channels, 3);
    const int twice = b.shuffle(wide, 2, kNone);
    const int stage = b.shuffle(b.conv(twice, 4 * channels, 3, 1, {}), 2, twice);
    const int fine = b.conv(stage, channels, 3, 1, {kNone, kNone, kNone, stage});
    const int last = b.quantized_conv(fine, 3, 3);
    const int enlarged = b.quantized_conv(picture, 48, 3);
    const int skip = b.shuffle(b.rescale(enlarged, b.quantized_conv(picture, 48, 1)), 4, kNone);
    const int result = b.add(last, skip);
    b.net.outputs = {result, twice, body, b.shuffle(wide, 2, body), b.quantized_conv(stage, 5, 1)};
    Random random(run_seed());
    for (const int64_t height : {1, 2, 7, 8, 9, 16, 29}) {
      SCOPED_TRACE(std::to_string(channels) + " channels, " + std::to_string(height) + " rows");
      check(&b, {random_map(&random, height < 3 ? 2 : 1, 3, height, 1 + random.below(6))});
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Chain, StripsOfAShuffleByThree) {
  Builder b(run_seed());
  const int x = b.net.input(ValueKind::map, 18);
  const int large = b.shuffle(b.quantized_conv(x, 36, 3), 3, kNone);
  b.net.outputs = {b.shuffle(b.conv(large, 18, 3, 2, {}), 3, kNone)};
  Random random(run_seed());
  for (const int64_t height : {3, 8, 11, 17, 26}) {
    check(&b, {random_map(&random, 1, 18, height, 4)});
    if (HasFatalFailure()) return;
  }
}

// Who watches sees each op once, with all of its result, and the same result.
TEST(Chain, AWatchedEndIsWhole) {
  Builder b(run_seed());
  const int x = b.net.input(ValueKind::map, 16);
  const int large = b.shuffle(b.quantized_conv(x, 64, 3), 2, kNone);
  b.net.outputs = {b.conv(large, 16, 3, 1, {kNone, kNone, kNone, large})};
  Random random(run_seed());
  const Map in = random_map(&random, 1, 16, 21, 5);
  const std::vector<Map> expected = op_by_op(b.net, {in});
  ProgramPointer program;
  ASSERT_TRUE(build(b.net, Isa::portable, &program).ok());
  std::vector<float> data = in.data, out(expected[0].data.size());
  const bitsr::TensorView input = {data.data(), 1, 16, 21, 5, Layout::nchw};
  const bitsr::TensorView output = {out.data(), 1, 16, 42, 10, Layout::nchw};
  struct Seen {
    std::vector<int> ops;
    Map last;
  } seen;
  bitsr::RunOptions options;
  options.observer.context = &seen;
  options.observer.result = [](void* context, int32_t op, int32_t, const bitsr::StridedView& result) {
    auto& made = *static_cast<Seen*>(context);
    made.ops.push_back(op);
    made.last = Map(1, result.c, result.h, result.w);
    bitsr::copy_dense(result, made.last.data.data());
  };
  options.strip_rows = 2;
  ASSERT_TRUE(program->run(&input, &output, options).ok());
  EXPECT_EQ((std::vector<int>{0, 1, 2}), seen.ops);
  EXPECT_TRUE(same_bits(expected[0], seen.last));
  EXPECT_EQ(expected[0].data, out);
}

// Gates that follow the convolution whose output they read, several of a kind, and gates that other ops part from it.
TEST(Chain, GatesOfOneMap) {
  for (const int channels : {64, 20}) {
    Builder b(run_seed());
    const int x = b.net.input(ValueKind::map, channels);
    const int a = b.conv(x, channels, 3, 1, {});
    const int first = b.channel_gate(a, channels, 0), wide = b.spatial_gate(a, 3), narrow = b.spatial_gate(a, 1);
    const int second = b.channel_gate(a, channels, 0), late = b.spatial_gate(x, 3);
    const int c = b.conv(a, channels, 3, 1, {kNone, first, wide, a});
    const int sum = b.add(c, x);
    const int parted = b.channel_gate(c, channels, 0), again = b.spatial_gate(c, 3);
    const int d = b.conv(sum, channels, 1, 1, {kNone, second, narrow, sum});
    const int e = b.conv(d, channels, 3, 1, {kNone, parted, late, c});
    b.net.outputs = {b.conv(e, channels, 3, 1, {kNone, b.channel_gate(e, channels, 0), again, e}), first, wide, narrow};
    Random random(run_seed());
    check(&b, {random_map(&random, 2, channels, 19, 18)});
    if (HasFatalFailure()) return;
  }
}

TEST(Chain, RandomPrograms) {
  for (uint64_t i = 0; i < 25; ++i) {
    SCOPED_TRACE("program " + std::to_string(i));
    Builder b(run_seed() + i);
    Random& random = b.random;
    const std::vector<int> widths = {16, 24, 64, 80};
    std::vector<int> maps = {b.net.input(ValueKind::map, random.pick(widths))};
    const auto channels = [&](int id) { return b.net.values[static_cast<size_t>(id)].channels; };
    const auto some_map = [&](int wanted) {
      std::vector<int> fitting;
      for (const int id : maps)
        if (wanted == 0 || channels(id) == wanted) fitting.push_back(id);
      return fitting.empty() ? kNone : random.pick(fitting);
    };
    for (int op = 0; op < 12; ++op) {
      const int x = some_map(0);
      if (random.below(4) == 0) {
        maps.push_back(b.add(x, some_map(channels(x))));
        continue;
      }
      Builder::ConvIds ids;
      const int out = random.pick(widths);
      if (random.coin()) ids.residual = some_map(out);
      if (random.below(3) == 0) ids.spatial_gain = b.spatial_gate(some_map(0), random.coin() ? 3 : 1);
      if (random.below(3) == 0) ids.channel_gain = b.channel_gate(some_map(0), out, 0);
      if (random.below(3) == 0) ids.threshold = b.channel_gate(some_map(0), channels(x) + 1, channels(x)) - 1;
      maps.push_back(b.conv(x, out, random.coin() ? 3 : 1, random.coin() ? 2 : 1, ids));
    }
    b.net.outputs = {maps.back()};
    for (const int id : {maps[maps.size() / 2], maps[maps.size() - 2]})
      if (id != b.net.outputs[0] && id != maps[0]) b.net.outputs.push_back(id);
    const int64_t h = 1 + random.below(6), w = 1 + random.below(6);
    check(&b, {random_map(&random, 1 + random.below(2), channels(maps[0]), h, w)});
    if (HasFatalFailure()) return;
  }
}

// One loaded program over pictures of many sizes: nothing of an earlier one may show, least of all in the borders.
TEST(Chain, PicturesOfChangingSizes) {
  Builder b(run_seed());
  const int x = b.net.input(ValueKind::map, 40);
  const int a = b.conv(x, 72, 3, 1, {kNone, kNone, b.spatial_gate(x, 3), kNone});
  const int c = b.conv(a, 40, 1, 1, {b.channel_gate(a, 73, 72) - 1, kNone, kNone, x});
  const int d = b.conv(c, 40, 3, 2, {kNone, b.channel_gate(c, 40, 0), b.spatial_gate(c, 1), c});
  b.net.outputs = {b.shuffle(d, 2, kNone), a};
  const int64_t sizes[][2] = {{16, 20}, {5, 3}, {16, 20}, {1, 1}, {3, 5}, {20, 16}, {4, 40}, {1, 7}, {7, 1}};
  for (const Isa isa : available_isas()) {
    ProgramPointer program;
    ASSERT_TRUE(build(b.net, isa, &program).ok());
    Random random(run_seed());
    for (const auto& size : sizes) {
      SCOPED_TRACE(std::string(bitsr::isa_name(isa)) + ", " + std::to_string(size[0]) + "x" + std::to_string(size[1]));
      const std::vector<Map> inputs = {random_map(&random, 1, 40, size[0], size[1])};
      const std::vector<Map> expected = op_by_op(b.net, inputs), got = run(program.get(), inputs);
      for (size_t i = 0; i < expected.size(); ++i) ASSERT_TRUE(same_bits(expected[i], got.at(i))) << "output " << i;
    }
  }
}

}  // namespace
}  // namespace bitsr_test
