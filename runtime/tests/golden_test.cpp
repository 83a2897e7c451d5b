// The bits of a fixed list of cases, as CRC-32: the same on every processor, kernel and number of threads.
//
// A change of these numbers is a change of results in every program in the field. It is right only together with a
// change of laws 5 and 6 of ARCHITECTURE.md.
#include "blob_writer.h"
#include "random_conv.h"

namespace bitsr_test {
namespace {

struct Golden {
  const char* name;
  uint32_t crc;
};

uint32_t crc_of(const std::vector<Map>& maps) {
  std::vector<float> all;
  for (const Map& map : maps) all.insert(all.end(), map.data.begin(), map.data.end());
  return crc32(all.data(), all.size() * sizeof(float));
}

void check(const Golden& golden, const Net& net, const std::vector<Map>& inputs) {
  int ranges = 1;
  for (const Isa isa : available_isas()) {
    const uint32_t crc = crc_of(run(net, inputs, isa, {ranges++, Layout::nhwc, Layout::nchw}));
    EXPECT_EQ(golden.crc, crc) << golden.name << ", " << bitsr::isa_name(isa) << std::hex << ": 0x" << crc;
  }
}

TEST(Golden, Convolutions) {
  struct Shape {
    int in, out, kernel_size, planes;
    int64_t h, w;
    int parts;
    Golden golden;
  };
  const Shape shapes[] = {
      {64, 64, 3, 1, 13, 17, 255, {"64 to 64, all parts", 0xf979e9ca}},
      {64, 64, 3, 1, 9, 8, ConvCase::kShift | ConvCase::kResidual | ConvCase::kSlope, {"64 to 64, EBSR", 0xeebc289a}},
      {256, 256, 3, 2, 4, 5, 255, {"256 to 256, two planes", 0xa4ae9060}},
      {100, 33, 1, 2, 6, 7, ConvCase::kInnerSlope | ConvCase::kSpatialGain, {"100 to 33, 1x1", 0x53f07d98}},
      {3, 130, 3, 1, 1, 19, ConvCase::kChannelGain | ConvCase::kVectorThreshold, {"3 to 130, one row", 0x5d2c959a}},
  };
  Random random(20240601);
  for (const Shape& s : shapes) {
    const ConvCase test = random_conv(&random, s.in, s.out, s.kernel_size, s.planes, 2, s.h, s.w, s.parts);
    check(s.golden, test.net, test.inputs());
  }
}

// Reductions and the sigmoid, which law 6 fixes, and a convolution that makes signs of their results.
TEST(Golden, GatedChain) {
  Random random(20240602);
  Net net;
  const int x = net.input(ValueKind::map, 64);
  const int linear = net.value(ValueKind::vector, 64), gain = net.value(ValueKind::vector, 64);
  net.ops.push_back({OpKind::channel_gate,
                     {x},
                     {linear, gain},
                     {to_bytes(random.reals(4 * 64)), to_bytes(random.reals(4)), to_bytes(random.reals(4 * 128)),
                      to_bytes(random.reals(128))},
                     {4, 128, 64}});
  const int plane = net.value(ValueKind::plane, 1);
  net.ops.push_back(
      {OpKind::spatial_gate, {x}, {plane}, {to_bytes(random.reals(9 * 64)), to_bytes(random.reals(1))}, {3}});
  const int y = net.value(ValueKind::map, 64), z = net.value(ValueKind::map, 48),
            large = net.value(ValueKind::map, 3, 4);
  const int parts = ConvCase::kVectorThreshold | ConvCase::kShift | ConvCase::kInnerSlope | ConvCase::kInnerShift;
  net.ops.push_back(random_conv(&random, 64, 64, 3, 1, 1, 1, 1, parts).op({x, linear, gain, plane, x}, y));
  net.ops.push_back(
      random_conv(&random, 64, 48, 3, 2, 1, 1, 1, ConvCase::kShift).op({y, kNone, kNone, kNone, kNone}, z));
  net.ops.push_back({OpKind::pixel_shuffle, {z, kNone}, {large}, {}, {4}});
  net.outputs = {large, linear, gain, plane, y};
  check({"gated chain", 0x7a7ac808}, net, {random_map(&random, 2, 64, 11, 23)});
}

}  // namespace
}  // namespace bitsr_test
