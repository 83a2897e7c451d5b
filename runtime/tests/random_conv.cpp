#include "random_conv.h"

namespace bitsr_test {

void ConvCase::finish() {
  net = {};
  std::vector<int> ids(5, kNone);
  ids[0] = net.input(ValueKind::map, conv.in);
  if (vector_threshold) ids[1] = net.input(ValueKind::vector, conv.in);
  if (in.channel_gain.n) ids[2] = net.input(ValueKind::vector, conv.out);
  if (in.spatial_gain.n) ids[3] = net.input(ValueKind::plane, 1);
  if (in.residual.n) ids[4] = net.input(ValueKind::map, conv.out);
  const int y = net.value(ValueKind::map, conv.out);
  net.ops.push_back(op(ids, y));
  net.outputs = {y};
}

NetOp ConvCase::op(const std::vector<int>& ids, int y) const {
  return {OpKind::binary_conv2d,
          ids,
          {y},
          constants(conv, vector_threshold ? std::vector<float>{} : in.threshold.data),
          {conv.out, conv.kernel_size, conv.planes}};
}

std::vector<Map> ConvCase::inputs() const {
  std::vector<Map> all = {in.x};
  if (vector_threshold) all.push_back(in.threshold);
  for (const Map* map : {&in.channel_gain, &in.spatial_gain, &in.residual})
    if (map->n) all.push_back(*map);
  return all;
}

Map random_map(Random* random, int64_t n, int64_t c, int64_t h, int64_t w) {
  Map map(n, c, h, w);
  map.data = random->reals(map.data.size());
  return map;
}

ConvCase random_conv(Random* random, int in, int out, int kernel_size, int planes, int64_t n, int64_t h, int64_t w,
                     int parts) {
  ConvCase test;
  const auto outs = static_cast<size_t>(out);
  test.conv = {in, out, kernel_size, planes, {}, {}, {}, {}, {}, {}};
  for (size_t i = 0; i < outs * in * kernel_size * kernel_size * planes; ++i)
    test.conv.signs.push_back(random->coin() ? 1 : -1);
  test.conv.scale = parts ? random->reals(outs * planes, 0.1f) : std::vector<float>(outs * planes, 1.0f);
  if (parts & ConvCase::kShift) test.conv.shift = random->reals(outs);
  if (parts & ConvCase::kInnerSlope) test.conv.inner_slope = random->reals(outs);
  if (parts & ConvCase::kInnerShift) test.conv.inner_shift = random->reals(outs);
  if (parts & ConvCase::kSlope) test.conv.slope = random->reals(outs);
  test.vector_threshold = parts & ConvCase::kVectorThreshold;
  test.in.x = random_map(random, n, in, h, w);
  test.in.threshold = random_map(random, test.vector_threshold ? n : 1, in, 1, 1);
  if (parts & ConvCase::kChannelGain) test.in.channel_gain = random_map(random, n, out, 1, 1);
  if (parts & ConvCase::kSpatialGain) test.in.spatial_gain = random_map(random, n, 1, h, w);
  if (parts & ConvCase::kResidual) test.in.residual = random_map(random, n, out, h, w);
  // Some activations lie exactly at their threshold.
  for (int i = 0; i < 8; ++i) {
    const int64_t image = random->below(n), c = random->below(in), y = random->below(h), column = random->below(w);
    test.in.x.at(image, c, y, column) = test.in.threshold.at(test.vector_threshold ? image : 0, c, 0, 0);
  }
  test.name = std::to_string(in) + " to " + std::to_string(out) + " channels, kernel " + std::to_string(kernel_size) +
              ", " + std::to_string(planes) + " planes, " + std::to_string(n) + "x" + std::to_string(h) + "x" +
              std::to_string(w) + ", parts " + std::to_string(parts);
  test.finish();
  return test;
}

ConvCase random_conv(Random* random, int in, int out, int kernel_size, int planes, int64_t n, int64_t h, int64_t w) {
  return random_conv(random, in, out, kernel_size, planes, n, h, w, 1 + static_cast<int>(random->below(255)));
}

}  // namespace bitsr_test
