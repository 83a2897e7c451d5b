#include "layers.h"

#include <cstdio>
#include <random>
#include <vector>

#include "bitsr/builder.h"

namespace bitsr_bench {
namespace {

// Numbers of an op, kept until the program is built.
class Constants {
 public:
  bitsr::Constant reals(size_t count) {
    floats_.emplace_back(count);
    for (float& value : floats_.back()) value = static_cast<float>(engine_() % 2001) / 1000.0f - 1.0f;
    return {floats_.back().data(), count * sizeof(float)};
  }
  bitsr::Constant equal(size_t count, float value) {
    floats_.emplace_back(count, value);
    return {floats_.back().data(), count * sizeof(float)};
  }
  // In [-largest, largest].
  bitsr::Constant levels(size_t count, int largest) {
    levels_.emplace_back(count);
    for (int16_t& value : levels_.back())
      value = static_cast<int16_t>(static_cast<int>(engine_() % (2 * static_cast<unsigned>(largest) + 1)) - largest);
    return {levels_.back().data(), count * sizeof(int16_t)};
  }
  bitsr::Constant bits(size_t words) {
    words_.emplace_back(words);
    for (uint64_t& word : words_.back()) word = engine_();
    return {words_.back().data(), words * sizeof(uint64_t)};
  }

 private:
  std::mt19937_64 engine_{1};
  std::vector<std::vector<float>> floats_;
  std::vector<std::vector<uint64_t>> words_;
  std::vector<std::vector<int16_t>> levels_;
};

ProgramPointer finish(bitsr::ProgramBuilder* builder, bool ok, bitsr::Isa isa) {
  bitsr::Program* program = nullptr;
  bitsr::Status no_memory;
  no_memory.code = bitsr::StatusCode::out_of_memory;
  stop(ok ? builder->finish(isa, &program) : no_memory);
  return ProgramPointer(program);
}

}  // namespace

void stop(const bitsr::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "error: %s\n", status.message);
  std::exit(1);
}

ProgramPointer make_binary_layer(const LayerShape& shape, bitsr::Isa isa) {
  using bitsr::kAbsent;
  using bitsr::OpKind;
  using bitsr::ValueKind;
  enum { kX, kY, kShift, kGain, kSpatial };
  const int c = shape.channels, hidden = c / 16;
  const auto n = static_cast<size_t>(c);
  Constants constants;
  bitsr::ProgramBuilder builder;
  bool ok = builder.add_value({ValueKind::map, c, 1, 1}) && builder.add_value({ValueKind::map, c, 1, 1}) &&
            builder.add_input(kX) && builder.add_output(kY);
  if (shape.gated) {
    ok = ok && builder.add_value({ValueKind::vector, c, 1, 1}) && builder.add_value({ValueKind::vector, c, 1, 1}) &&
         builder.add_value({ValueKind::plane, 1, 1, 1});
    const auto r = static_cast<size_t>(hidden);
    bitsr::OpSpec gate = {OpKind::channel_gate, 1, 2, 4, 3, {kX}, {kShift, kGain}, {}, {hidden, 2 * c, c}};
    gate.constants[0] = constants.reals(r * n);
    gate.constants[1] = constants.reals(r);
    gate.constants[2] = constants.reals(2 * n * r);
    gate.constants[3] = constants.reals(2 * n);
    bitsr::OpSpec spatial = {OpKind::spatial_gate, 1, 1, 2, 1, {kX}, {kSpatial}, {}, {3}};
    spatial.constants[0] = constants.reals(9 * n);
    spatial.constants[1] = constants.reals(1);
    ok = ok && builder.add_op(gate) && builder.add_op(spatial);
  }
  bitsr::OpSpec conv = {OpKind::binary_conv2d, 5, 1, 7, 3, {kX, kAbsent, kAbsent, kAbsent, kX}, {kY}, {}, {c, 3, 1}};
  if (shape.gated) {
    conv.inputs[1] = kShift;
    conv.inputs[2] = kGain;
    conv.inputs[3] = kSpatial;
  } else {
    conv.constants[0] = constants.reals(n);
  }
  conv.constants[1] = constants.bits(n * 9 * n / 64);
  for (const int i : {2, 3, 6}) conv.constants[i] = constants.reals(n);  // scale, shift, slope
  ok = ok && builder.add_op(conv);
  return finish(&builder, ok, isa);
}

ProgramPointer make_quantized_layer(int channels, int out_channels, const QuantizedRanges& ranges, bitsr::Isa isa) {
  using bitsr::ValueKind;
  constexpr int kSide = 3;
  const auto in = static_cast<size_t>(channels), out = static_cast<size_t>(out_channels);
  Constants constants;
  bitsr::ProgramBuilder builder;
  bitsr::OpSpec conv = {bitsr::OpKind::quantized_conv2d,
                        1,
                        1,
                        5,
                        5,
                        {0},
                        {1},
                        {},
                        {out_channels, kSide, 1, ranges.negative, ranges.positive}};
  conv.constants[0] = constants.levels(out * kSide * kSide * in, ranges.weight);
  conv.constants[1] = constants.equal(in, static_cast<float>(ranges.one));  // inverse step
  for (const int i : {2, 3}) conv.constants[i] = constants.reals(out);      // scale, bias
  const bool ok = builder.add_value({ValueKind::map, channels, 1, 1}) &&
                  builder.add_value({ValueKind::map, out_channels, 1, 1}) && builder.add_input(0) &&
                  builder.add_output(1) && builder.add_op(conv);
  return finish(&builder, ok, isa);
}

Map make_map(size_t count) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 64, count * sizeof(float)) != 0) std::exit(1);
  auto* values = static_cast<float*>(memory);
  std::mt19937 engine(1);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(engine() % 2001) / 1000.0f - 1.0f;
  return Map(values);
}

}  // namespace bitsr_bench
