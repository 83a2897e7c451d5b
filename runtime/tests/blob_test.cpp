// The parser believes nothing: every damaged blob gives a Status with a message, none a crash.
#include <cstring>

#include "blob_writer.h"
#include "random.h"
#include "random_conv.h"

namespace bitsr_test {
namespace {

// Every kind of op, absent references and constants included.
Net every_op() {
  Random random(7);
  Net net;
  const int x = net.input(ValueKind::map, 8);
  const int linear = net.value(ValueKind::vector, 8), sigmoid = net.value(ValueKind::vector, 8);
  net.ops.push_back(
      {OpKind::channel_gate,
       {x},
       {linear, sigmoid},
       {to_bytes(random.reals(16)), to_bytes(random.reals(2)), to_bytes(random.reals(32)), to_bytes(random.reals(16))},
       {2, 16, 8}});
  const int spatial = net.value(ValueKind::plane, 1);
  net.ops.push_back(
      {OpKind::spatial_gate, {x}, {spatial}, {to_bytes(random.reals(72)), to_bytes(random.reals(1))}, {3}});
  const int y = net.value(ValueKind::map, 8), sum = net.value(ValueKind::map, 8);
  const int parts = ConvCase::kVectorThreshold | ConvCase::kShift | ConvCase::kSlope;
  net.ops.push_back(random_conv(&random, 8, 8, 3, 2, 1, 1, 1, parts).op({x, linear, sigmoid, spatial, x}, y));
  net.ops.push_back({OpKind::add, {y, x}, {sum}, {}, {}});
  const int skip = net.input(ValueKind::map, 2), large = net.value(ValueKind::map, 2, 2);
  net.ops.push_back({OpKind::pixel_shuffle, {sum, skip}, {large}, {}, {2}});
  const int quantized = net.value(ValueKind::map, 2);
  net.ops.push_back(
      {OpKind::quantized_conv2d,
       {x},
       {quantized},
       {Bytes(144, 5), to_bytes(random.reals(8)), to_bytes(random.reals(2)), to_bytes(random.reals(32)), {}},
       {2, 3, 16, 0, 255}});
  const int normed = net.value(ValueKind::map, 8), gain = net.value(ValueKind::map, 8);
  const int rescaled = net.value(ValueKind::map, 8);
  const auto reals = [&](size_t count) { return to_bytes(random.reals(count)); };
  net.ops.push_back(
      {OpKind::channel_norm, {x}, {normed}, {reals(8), reals(8), to_bytes(std::vector<float>{1e-5f})}, {}});
  net.ops.push_back({OpKind::pixel_gate, {x}, {gain}, {reals(64), reals(8)}, {8}});
  net.ops.push_back({OpKind::rescale, {normed, kNone, kNone, gain, x}, {rescaled}, {reals(8)}, {}});
  net.outputs = {large, sum, quantized, rescaled};
  return net;
}

Status load(const Bytes& blob, ProgramPointer* program) {
  bitsr::Program* loaded = nullptr;
  const Status status = bitsr::Program::load(blob.data(), blob.size(), Isa::portable, &loaded);
  program->reset(loaded);
  return status;
}

// The blob is refused, with a message and without a program.
void expect_refused(const Bytes& blob, StatusCode code = StatusCode::invalid_program) {
  // A copy of just this size, so that a sanitizer sees every read past the end.
  const Bytes exact(blob);
  ProgramPointer program;
  const Status status = load(exact, &program);
  EXPECT_EQ(static_cast<int>(code), static_cast<int>(status.code)) << status.message;
  EXPECT_EQ(nullptr, program.get());
  EXPECT_GT(std::strlen(status.message), 10u);
  EXPECT_LT(std::strlen(status.message), sizeof(status.message) - 1) << "a message that was cut";
}

// Loads a blob that may be good or bad; runs it if it is good.
void try_to_use(const Bytes& blob) {
  ProgramPointer program;
  const Status status = load(blob, &program);
  ASSERT_EQ(status.ok(), program != nullptr);
  if (!status.ok()) {
    ASSERT_NE('\0', status.message[0]);
    return;
  }
  // A changed net may have other shapes: run() must accept the right ones or refuse, whatever they are.
  std::vector<std::vector<float>> data;
  std::vector<bitsr::TensorView> in, out;
  for (const int channels : {8, 2}) {
    data.emplace_back(static_cast<size_t>(channels * 4 * 4), 0.5f);
    in.push_back({nullptr, 1, channels, 4, 4, Layout::nchw});
  }
  if (program->input_count() > 2) return;
  for (size_t i = 0; i < in.size(); ++i) in[i].data = data[i].data();
  std::vector<bitsr::Shape> shapes(static_cast<size_t>(program->output_count()));
  if (!program->output_shapes(in.data(), shapes.data()).ok()) return;
  std::vector<std::vector<float>> results;
  for (const bitsr::Shape& s : shapes) {
    ASSERT_LT(s.n * s.c * s.h * s.w, 1 << 28);
    results.emplace_back(static_cast<size_t>(s.n * s.c * s.h * s.w));
    out.push_back({results.back().data(), s.n, s.c, s.h, s.w, Layout::nchw});
  }
  program->run(in.data(), out.data());
}

TEST(Blob, GivesTheSameProgramAsTheBuilder) {
  const Net net = every_op();
  Random random(run_seed());
  const std::vector<Map> inputs = {random_map(&random, 2, 8, 5, 6), random_map(&random, 2, 2, 5, 6)};
  const std::vector<Map> expected = run(net, inputs, Isa::portable);
  const Bytes blob = write_blob(net);
  for (const Isa isa : available_isas())
    for (size_t shift = 0; shift < 8; ++shift) {  // a blob needs no alignment and may go after loading
      Bytes moved(blob.size() + shift);
      std::memcpy(moved.data() + shift, blob.data(), blob.size());
      bitsr::Program* loaded = nullptr;
      const Status status = bitsr::Program::load(moved.data() + shift, blob.size(), isa, &loaded);
      ASSERT_TRUE(status.ok()) << status.message;
      const ProgramPointer program(loaded);
      std::fill(moved.begin(), moved.end(), uint8_t{0xff});
      Bytes().swap(moved);
      EXPECT_EQ(9, program->op_count());
      EXPECT_STREQ("binary_conv2d", program->op_name(2));
      const std::vector<Map> got = run(program.get(), inputs);
      ASSERT_EQ(net.outputs.size(), got.size());
      for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(same_bits(expected[i], got[i])) << "output " << i;
    }
}

TEST(Blob, EveryTruncation) {
  const Bytes blob = write_blob(every_op());
  for (size_t size = 0; size < blob.size(); ++size) {
    SCOPED_TRACE(size);
    Bytes part(blob.begin(), blob.begin() + static_cast<std::ptrdiff_t>(size));
    expect_refused(part);
    if (size >= kHeaderBytes) {
      seal(&part);  // with the right length and checksum: what is missing must be missed
      ProgramPointer program;
      const Status status = load(part, &program);
      ASSERT_EQ(status.ok(), program != nullptr);
      EXPECT_FALSE(status.ok());
    }
  }
  Bytes longer = blob;
  longer.push_back(0);
  expect_refused(longer);
}

TEST(Blob, EveryFlippedByte) {
  const Bytes blob = write_blob(every_op());
  Random random(run_seed());
  for (size_t at = 0; at < blob.size(); ++at) {
    SCOPED_TRACE(at);
    for (const int flip : {0xff, 0x80, 0x01, static_cast<int>(1 + random.below(255))}) {
      Bytes changed = blob;
      changed[at] ^= static_cast<uint8_t>(flip);
      ProgramPointer program;
      // The checksum covers the rest of the blob, the rules of the tables cover the header.
      EXPECT_FALSE(load(changed, &program).ok());
      if (at < kHeaderBytes) {
        seal(&changed);
        const bool mended = (at >= kBytesAt && at < kValueCountAt);  // the length and the checksum themselves
        EXPECT_EQ(mended, load(changed, &program).ok());
      } else {
        seal(&changed);
        try_to_use(changed);
      }
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Blob, MagicVersionAndLength) {
  const Bytes blob = write_blob(every_op());
  Bytes changed = blob;
  std::memcpy(changed.data(), "BSRQ", 4);
  expect_refused(changed);
  for (const uint32_t version : {bitsr::kProgramVersion + 1, 0xffffffffu}) {
    changed = blob;
    put_u32(&changed, kVersionAt, version);
    expect_refused(changed, StatusCode::newer_version);
  }
  changed = blob;
  put_u32(&changed, kVersionAt, 0);
  expect_refused(changed);
  for (const size_t bytes : {size_t{0}, blob.size() - 1, blob.size() + 1, size_t{0xffffffff}}) {
    changed = blob;
    put_u32(&changed, kBytesAt, static_cast<uint32_t>(bytes));
    expect_refused(changed);
  }
  changed = blob;
  put_u32(&changed, kCrcAt, get_u32(blob, kCrcAt) ^ 1);
  expect_refused(changed);
  bitsr::Program* program = reinterpret_cast<bitsr::Program*>(8);
  EXPECT_FALSE(bitsr::Program::load(nullptr, 0, Isa::portable, &program).ok());
  EXPECT_EQ(nullptr, program);
}

// Every word of the header and of all tables takes hostile values, with a good checksum.
TEST(Blob, HostileCountsOffsetsAndIds) {
  const Bytes blob = write_blob(every_op());
  size_t tables_end = blob.size();
  for (size_t at = get_u32(blob, kOpsAt); at + 4 <= blob.size(); at += 4) {
    // The first constant lies where the tables end.
    const uint32_t word = get_u32(blob, at);
    if (word % 64 == 0 && word > get_u32(blob, kOpsAt) && word < tables_end) tables_end = word;
  }
  ASSERT_LT(tables_end, blob.size());
  for (size_t at = kValueCountAt; at + 4 <= tables_end; at += 4) {
    SCOPED_TRACE(at);
    const uint32_t old = get_u32(blob, at), size = static_cast<uint32_t>(blob.size());
    for (const uint32_t value :
         {0u,        1u,          2u,          3u,          5u,          7u,         16u,      64u,
          old + 1,   old - 1,     old * 2,     size,        size - 1,    size - 4,   0x10000u, 0x10001u,
          0xffffffu, 0x40000000u, 0x7fffffffu, 0x80000000u, 0xfffffffeu, 0xffffffffu}) {
      Bytes changed = blob;
      put_u32(&changed, at, value);
      seal(&changed);
      try_to_use(changed);
      if (HasFatalFailure()) return;
    }
  }
}

// What each rule of the validator is there for.
TEST(Blob, ContradictionsAreNamed) {
  const auto refused = [](const char* what, const std::function<void(Net*)>& change) {
    SCOPED_TRACE(what);
    Net net = every_op();
    change(&net);
    expect_refused(write_blob(net));
  };
  constexpr size_t kGate = 0, kSpatial = 1, kConv = 2, kAdd = 3, kShuffle = 4;
  refused("no outputs", [](Net* n) { n->outputs.clear(); });
  refused("no inputs", [](Net* n) { n->inputs.clear(); });
  refused("no ops", [](Net* n) { n->ops.clear(); });
  refused("an input twice", [](Net* n) { n->inputs.push_back(n->inputs[0]); });
  refused("an output twice", [](Net* n) { n->outputs.push_back(n->outputs[0]); });
  refused("an input as output", [](Net* n) { n->outputs.push_back(n->inputs[0]); });
  refused("an unknown value kind", [](Net* n) { n->values[0].kind = static_cast<ValueKind>(3); });
  refused("no channels", [](Net* n) { n->values[0].channels = 0; });
  refused("negative channels", [](Net* n) { n->values[0].channels = -8; });
  refused("a size ratio of zero", [](Net* n) { n->values[0].down = 0; });
  refused("a first input of another size", [](Net* n) { n->values[0].up = 2; });
  refused("an unknown op", [](Net* n) { n->ops[kAdd].kind = static_cast<OpKind>(6); });
  refused("op kind 0", [](Net* n) { n->ops[kAdd].kind = static_cast<OpKind>(0); });
  refused("a value that nothing writes", [](Net* n) { n->ops[kAdd].inputs[0] = n->outputs[0]; });
  refused("a value out of range", [](Net* n) { n->ops[kAdd].inputs[0] = 1000; });
  refused("a value written twice", [](Net* n) { n->ops[kAdd].outputs[0] = n->ops[kConv].outputs[0]; });
  refused("an op that writes its input", [](Net* n) { n->ops[kAdd].outputs[0] = n->ops[kAdd].inputs[1]; });
  refused("one output for both gates", [](Net* n) { n->ops[kGate].outputs[1] = n->ops[kGate].outputs[0]; });
  refused("a missing operand", [](Net* n) { n->ops[kAdd].inputs[1] = kNone; });
  refused("a missing result", [](Net* n) { n->ops[kConv].outputs[0] = kNone; });
  refused("too few inputs", [](Net* n) { n->ops[kConv].inputs.pop_back(); });
  refused("too few constants", [](Net* n) { n->ops[kConv].constants.pop_back(); });
  refused("too few attributes", [](Net* n) { n->ops[kConv].attributes.pop_back(); });
  refused("kernel size 2", [](Net* n) { n->ops[kConv].attributes[1] = 2; });
  refused("three planes", [](Net* n) { n->ops[kConv].attributes[2] = 3; });
  refused("other output channels", [](Net* n) { n->ops[kConv].attributes[0] = 9; });
  refused("no threshold", [](Net* n) { n->ops[kConv].inputs[1] = kNone; });
  refused("two thresholds", [](Net* n) { n->ops[kConv].constants[0] = to_bytes(std::vector<float>(8)); });
  refused("short weights", [](Net* n) { n->ops[kConv].constants[1].resize(8 * 9 * 8); });
  refused("a weight bit past the channels", [](Net* n) { n->ops[kConv].constants[1][1] = 1; });
  refused("no scale", [](Net* n) { n->ops[kConv].constants[2].clear(); });
  refused("a short shift", [](Net* n) { n->ops[kConv].constants[3].resize(4); });
  refused("a gain of the wrong kind", [](Net* n) { n->ops[kConv].inputs[2] = n->ops[kSpatial].outputs[0]; });
  refused("a gate without its sigmoid", [](Net* n) { n->ops[kGate].attributes[2] = 16; });
  refused("negative linear outputs", [](Net* n) { n->ops[kGate].attributes[2] = -1; });
  refused("more hidden units than weights", [](Net* n) { n->ops[kGate].attributes[0] = 3; });
  refused("a gate of kernel 5", [](Net* n) { n->ops[kSpatial].attributes[0] = 5; });
  refused("a gate without bias", [](Net* n) { n->ops[kSpatial].constants[1].clear(); });
  refused("factor 0", [](Net* n) { n->ops[kShuffle].attributes[0] = 0; });
  refused("factor 3 of 8 channels", [](Net* n) { n->ops[kShuffle].attributes[0] = 3; });
  refused("a factor that is not the output's", [](Net* n) { n->ops[kShuffle].attributes[0] = 1; });
  refused("operands of different sizes", [](Net* n) { n->values[static_cast<size_t>(n->inputs[1])].up = 2; });
}

}  // namespace
}  // namespace bitsr_test
