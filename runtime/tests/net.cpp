#include "net.h"

#include <cstring>

namespace bitsr_test {
namespace {

// The elements of `map` in the memory order of `layout`.
std::vector<float> in_layout(const Map& map, Layout layout) {
  if (layout == Layout::nchw) return map.data;
  std::vector<float> data;
  data.reserve(map.data.size());
  for (int64_t i = 0; i < map.n; ++i)
    for (int64_t y = 0; y < map.h; ++y)
      for (int64_t x = 0; x < map.w; ++x)
        for (int64_t c = 0; c < map.c; ++c) data.push_back(map.at(i, c, y, x));
  return data;
}

Map from_layout(const std::vector<float>& data, const bitsr::Shape& shape, Layout layout) {
  Map map(shape.n, shape.c, shape.h, shape.w);
  if (layout == Layout::nchw) {
    map.data = data;
    return map;
  }
  size_t from = 0;
  for (int64_t i = 0; i < map.n; ++i)
    for (int64_t y = 0; y < map.h; ++y)
      for (int64_t x = 0; x < map.w; ++x)
        for (int64_t c = 0; c < map.c; ++c) map.at(i, c, y, x) = data[from++];
  return map;
}

struct Cut {
  int ranges;
};

void run_ranges(void* context, int64_t count, void (*task)(void*, int64_t, int64_t), void* arg) {
  const int64_t ranges = static_cast<Cut*>(context)->ranges;
  for (int64_t i = ranges; i-- > 0;) {
    const int64_t begin = count * i / ranges, end = count * (i + 1) / ranges;
    if (begin < end) task(arg, begin, end);
  }
}

}  // namespace

testing::AssertionResult same_bits(const Map& expected, const Map& got) {
  if (expected.n != got.n || expected.c != got.c || expected.h != got.h || expected.w != got.w)
    return testing::AssertionFailure() << "the shapes differ";
  for (size_t i = 0; i < expected.data.size(); ++i)
    if (std::memcmp(&expected.data[i], &got.data[i], sizeof(float)) != 0) {
      const auto at = static_cast<int64_t>(i);
      return testing::AssertionFailure() << "image " << at / (got.w * got.h * got.c) << ", channel "
                                         << at / (got.w * got.h) % got.c << ", row " << at / got.w % got.h
                                         << ", column " << at % got.w << ": expected "
                                         << testing::PrintToString(expected.data[i]) << ", got "
                                         << testing::PrintToString(got.data[i]);
    }
  return testing::AssertionSuccess();
}

Status build(const Net& net, Isa isa, ProgramPointer* program) {
  bitsr::ProgramBuilder builder;
  for (const NetValue& v : net.values) EXPECT_TRUE(builder.add_value({v.kind, v.channels, v.up, v.down}));
  for (const int id : net.inputs) EXPECT_TRUE(builder.add_input(id));
  for (const int id : net.outputs) EXPECT_TRUE(builder.add_output(id));
  for (const NetOp& op : net.ops) {
    bitsr::OpSpec spec = {};
    spec.kind = op.kind;
    spec.input_count = static_cast<int32_t>(op.inputs.size());
    spec.output_count = static_cast<int32_t>(op.outputs.size());
    spec.constant_count = static_cast<int32_t>(op.constants.size());
    spec.attribute_count = static_cast<int32_t>(op.attributes.size());
    for (size_t i = 0; i < op.inputs.size(); ++i) spec.inputs[i] = op.inputs[i];
    for (size_t i = 0; i < op.outputs.size(); ++i) spec.outputs[i] = op.outputs[i];
    for (size_t i = 0; i < op.constants.size(); ++i)
      spec.constants[i] = {op.constants[i].empty() ? nullptr : op.constants[i].data(), op.constants[i].size()};
    for (size_t i = 0; i < op.attributes.size(); ++i) spec.attributes[i] = op.attributes[i];
    EXPECT_TRUE(builder.add_op(spec));
  }
  bitsr::Program* loaded = nullptr;
  const Status status = builder.finish(isa, &loaded);
  program->reset(loaded);
  return status;
}

std::vector<Map> run(bitsr::Program* program, const std::vector<Map>& inputs, const RunSettings& settings) {
  std::vector<std::vector<float>> in, out;
  std::vector<bitsr::TensorView> in_views, out_views;
  for (const Map& map : inputs) {
    in.push_back(in_layout(map, settings.inputs));
    in_views.push_back({in.back().data(), map.n, map.c, map.h, map.w, settings.inputs});
  }
  std::vector<bitsr::Shape> shapes(static_cast<size_t>(program->output_count()));
  Status status = program->output_shapes(in_views.data(), shapes.data());
  EXPECT_TRUE(status.ok()) << status.message;
  if (!status.ok()) return {};
  for (const bitsr::Shape& s : shapes) {
    out.emplace_back(static_cast<size_t>(s.n * s.c * s.h * s.w), -12345.0f);
    out_views.push_back({out.back().data(), s.n, s.c, s.h, s.w, settings.outputs});
  }
  Cut cut = {settings.ranges};
  bitsr::RunOptions options;
  options.strip_rows = settings.strip_rows;
  if (settings.ranges > 1) {
    options.parallel.context = &cut;
    options.parallel.run = run_ranges;
  }
  status = program->run(in_views.data(), out_views.data(), options);
  EXPECT_TRUE(status.ok()) << status.message;
  std::vector<Map> maps;
  for (size_t i = 0; i < shapes.size(); ++i) maps.push_back(from_layout(out[i], shapes[i], settings.outputs));
  for (size_t i = 0; i < inputs.size(); ++i)
    EXPECT_EQ(0, std::memcmp(in[i].data(), in_layout(inputs[i], settings.inputs).data(), in[i].size() * sizeof(float)))
        << "input " << i << " was changed";
  return maps;
}

std::vector<Map> run(const Net& net, const std::vector<Map>& inputs, Isa isa, const RunSettings& settings) {
  ProgramPointer program;
  const Status status = build(net, isa, &program);
  EXPECT_TRUE(status.ok()) << status.message;
  return status.ok() ? run(program.get(), inputs, settings) : std::vector<Map>{};
}

void expect_everywhere(const Net& net, const std::vector<Map>& inputs, const std::vector<Map>& expected) {
  const RunSettings all[] = {{1, Layout::nchw, Layout::nchw, 3},
                             {2, Layout::nhwc, Layout::nhwc, 0},
                             {3, Layout::nchw, Layout::nhwc, 1},
                             {7, Layout::nhwc, Layout::nchw, 8}};
  for (const Isa isa : available_isas()) {
    ProgramPointer program;
    const Status status = build(net, isa, &program);
    ASSERT_TRUE(status.ok()) << status.message;
    for (const RunSettings& settings : all) {
      const std::vector<Map> got = run(program.get(), inputs, settings);
      ASSERT_EQ(expected.size(), got.size());
      for (size_t i = 0; i < got.size(); ++i)
        ASSERT_TRUE(same_bits(expected[i], got[i])) << "output " << i << ", kernel " << bitsr::isa_name(isa) << ", "
                                                    << settings.ranges << " ranges, strips of " << settings.strip_rows;
    }
  }
}

}  // namespace bitsr_test
