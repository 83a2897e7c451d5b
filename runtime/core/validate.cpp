// Every rule that the executor relies on, so that it never has to ask again.
#include <cmath>
#include <cstdarg>
#include <cstdio>

#include "bitsr/op_table.h"
#include "graph.h"
#include "status.h"

namespace bitsr {
namespace {

constexpr int32_t kMaxChannels = 1 << 16;
constexpr int32_t kMaxRatio = 64;
constexpr int32_t kMinFactor = 2, kMaxFactor = 8;
constexpr int32_t kMaxNegative = 32768, kMaxPositive = 32767;  // levels of 16 bits

struct Checker {
  const Graph& graph;
  int32_t op_index = -1;
  const OpInfo* info = nullptr;  // of the op's kind

  Status bad(const char* format, ...) const __attribute__((format(printf, 2, 3)));

  const OpSpec& op() const { return graph.ops[op_index]; }

  Status counts() const {
    const OpSpec& o = op();
    if (o.input_count == info->input_count() && o.output_count == info->output_count() &&
        o.constant_count == info->constant_count() && o.attribute_count == info->attribute_count())
      return {};
    return bad(
        "expected %d inputs, %d outputs, %d constants, %d attributes; "
        "got %d, %d, %d, %d",
        info->input_count(), info->output_count(), info->constant_count(), info->attribute_count(), o.input_count,
        o.output_count, o.constant_count, o.attribute_count);
  }

  // Whether a value is what the table says, and has this many channels (0: any) and the size of that one (null: any).
  Status value(int32_t id, const OperandInfo& operand, int32_t channels, const ValueSpec* size) const {
    if (id == kAbsent) return operand.optional ? Status{} : bad("%s is missing", operand.name);
    const ValueSpec& v = graph.values[id];
    if (v.kind != operand.kind && !(is_map(v.kind) && operand.kind == ValueKind::map))
      return bad("%s is of kind %d, expected %d", operand.name, static_cast<int>(v.kind),
                 static_cast<int>(operand.kind));
    if (channels > 0 && v.channels != channels)
      return bad("%s has %d channels, expected %d", operand.name, v.channels, channels);
    if (size && v.kind != ValueKind::vector &&
        static_cast<int64_t>(v.up) * size->down != static_cast<int64_t>(size->up) * v.down)
      return bad("%s has another picture size than x", operand.name);
    return {};
  }
  Status input(int32_t place, int32_t channels, const ValueSpec* size) const {
    return value(op().inputs[place], info->inputs[place], channels, size);
  }
  Status output(int32_t place, int32_t channels, const ValueSpec& size) const {
    return value(op().outputs[place], info->outputs[place], channels, &size);
  }

  // `count` has 64 bits: products of channels, which a file may choose, leave the 32 of a small machine's size_t.
  Status constant(int32_t place, uint64_t count) const {
    const ConstantInfo& wanted = info->constants[place];
    const Constant& c = op().constants[place];
    if (!c.data) return wanted.optional ? Status{} : bad("constant %s is missing", wanted.name);
    const uint64_t bytes = count * constant_bytes(wanted.type);
    if (c.bytes != bytes && !(wanted.type == ConstantType::levels && c.bytes == count * sizeof(int16_t)))
      return bad("constant %s has %lld bytes, expected %lld", wanted.name, static_cast<long long>(c.bytes),
                 static_cast<long long>(bytes));
    return {};
  }

  Status kernel_size(int32_t size) const {
    return size == 1 || size == 3 ? Status{} : bad("kernel size %d, expected 1 or 3", size);
  }

  Status further_rules() const;
  Status binary_conv2d() const;
  Status channel_gate() const;
  Status spatial_gate() const;
  Status quantized_spatial_gate() const;
  Status quantized_conv2d() const;
  Status channel_norm() const;
  Status pixel_gate() const;
  Status rescale() const;
  Status add() const;
  Status pixel_shuffle() const;
};

#define BITSR_CHECK(expression)          \
  do {                                   \
    const Status status_ = (expression); \
    if (!status_.ok()) return status_;   \
  } while (false)

Status Checker::binary_conv2d() const {
  using namespace bitsr::binary_conv2d;
  const OpSpec& o = op();
  const int32_t out = o.attributes[kOutChannels], size = o.attributes[kKernelSize], planes = o.attributes[kPlanes];
  if (out < 1 || out > kMaxChannels) return bad("%d output channels, expected 1 to %d", out, kMaxChannels);
  BITSR_CHECK(kernel_size(size));
  if (planes != 1 && planes != 2) return bad("%d weight planes, expected 1 or 2", planes);
  BITSR_CHECK(input(kX, 0, nullptr));
  const ValueSpec& x = graph.values[o.inputs[kX]];
  BITSR_CHECK(output(0, out, x));
  BITSR_CHECK(input(kThreshold, x.channels, nullptr));
  BITSR_CHECK(input(kChannelGain, out, nullptr));
  BITSR_CHECK(input(kSpatialGain, 1, &x));
  BITSR_CHECK(input(kResidual, out, &x));
  if ((o.inputs[kThreshold] != kAbsent) == (o.constants[kThresholds].data != nullptr))
    return bad("the threshold must be either an input or a constant");
  const uint64_t words = (static_cast<uint64_t>(x.channels) + 63) / 64;
  const uint64_t rows = static_cast<uint64_t>(planes) * out * size * size;
  const uint64_t outs = static_cast<uint64_t>(out);
  BITSR_CHECK(constant(kThresholds, static_cast<uint64_t>(x.channels)));
  BITSR_CHECK(constant(kWeights, rows * words));
  BITSR_CHECK(constant(kScale, planes * outs));
  const int32_t per_output[] = {kShift, kInnerSlope, kInnerShift, kSlope};
  for (const int32_t place : per_output) BITSR_CHECK(constant(place, outs));
  if (x.channels % 64 != 0) {
    const auto* bits = static_cast<const uint8_t*>(o.constants[kWeights].data);
    for (size_t row = 1; row <= rows; ++row) {
      uint64_t last;
      memcpy(&last, bits + (row * words - 1) * 8, 8);
      if (last >> (x.channels % 64)) return bad("weight_bits has bits set past channel %d", x.channels - 1);
    }
  }
  return {};
}

Status Checker::channel_gate() const {
  using namespace bitsr::channel_gate;
  const OpSpec& o = op();
  const int32_t hidden = o.attributes[kHidden], all = o.attributes[kOutputCount], linear = o.attributes[kLinearCount];
  if (hidden < 1 || hidden > kMaxChannels) return bad("%d hidden units, expected 1 to %d", hidden, kMaxChannels);
  if (all < 1 || all > 2 * kMaxChannels) return bad("%d outputs, expected 1 to %d", all, 2 * kMaxChannels);
  if (linear < 0 || linear > all) return bad("%d linear outputs of %d", linear, all);
  BITSR_CHECK(input(0, 0, nullptr));
  const ValueSpec& x = graph.values[o.inputs[0]];
  if ((linear > 0) != (o.outputs[kLinear] != kAbsent) || (linear < all) != (o.outputs[kSigmoid] != kAbsent))
    return bad("%d of %d outputs are linear, which does not fit the outputs given", linear, all);
  BITSR_CHECK(output(kLinear, linear, x));
  BITSR_CHECK(output(kSigmoid, all - linear, x));
  BITSR_CHECK(constant(kW1, static_cast<uint64_t>(hidden) * static_cast<uint64_t>(x.channels)));
  BITSR_CHECK(constant(kB1, static_cast<uint64_t>(hidden)));
  BITSR_CHECK(constant(kW2, static_cast<uint64_t>(all) * static_cast<uint64_t>(hidden)));
  return constant(kB2, static_cast<uint64_t>(all));
}

Status Checker::spatial_gate() const {
  using namespace bitsr::spatial_gate;
  const OpSpec& o = op();
  const int32_t size = o.attributes[kKernelSize];
  BITSR_CHECK(kernel_size(size));
  BITSR_CHECK(input(0, 0, nullptr));
  const ValueSpec& x = graph.values[o.inputs[0]];
  BITSR_CHECK(output(0, 1, x));
  BITSR_CHECK(constant(kWeight, static_cast<uint64_t>(size) * size * x.channels));
  return constant(kBias, 1);
}

Status Checker::quantized_spatial_gate() const {
  using namespace bitsr::quantized_spatial_gate;
  const OpSpec& o = op();
  const int32_t size = o.attributes[kKernelSize];
  const int64_t negative = o.attributes[kNegative], positive = o.attributes[kPositive];
  BITSR_CHECK(kernel_size(size));
  if (negative < 0 || positive < 0 || negative + positive < 1 || negative + positive > 255)
    return bad("levels -%lld to %lld, expected 2 to 256 levels", static_cast<long long>(negative),
               static_cast<long long>(positive));
  BITSR_CHECK(input(0, 0, nullptr));
  const ValueSpec& x = graph.values[o.inputs[0]];
  const int64_t taps = int64_t{size} * size * x.channels;
  const int64_t largest = taps * (negative > positive ? negative : positive) * 128;
  if (largest > INT32_MAX) return bad("sums up to %lld do not fit 32 bits", static_cast<long long>(largest));
  BITSR_CHECK(output(0, 1, x));
  BITSR_CHECK(constant(kWeight, static_cast<uint64_t>(taps)));
  const int32_t numbers[] = {kInverseStep, kScale, kBias};
  for (const int32_t place : numbers) BITSR_CHECK(constant(place, 1));
  return {};
}

Status Checker::quantized_conv2d() const {
  using namespace bitsr::quantized_conv2d;
  const OpSpec& o = op();
  const int32_t out = o.attributes[kOutChannels], size = o.attributes[kKernelSize];
  const int32_t classes = o.attributes[kBorderClasses];
  const int32_t negative = o.attributes[kNegative], positive = o.attributes[kPositive];
  if (out < 1 || out > kMaxChannels) return bad("%d output channels, expected 1 to %d", out, kMaxChannels);
  BITSR_CHECK(kernel_size(size));
  if (classes != 1 && (classes != 16 || size != 3))
    return bad("%d border classes, expected 1, or 16 of a kernel of 3", classes);
  if (negative < 0 || negative > kMaxNegative || positive < 0 || positive > kMaxPositive || negative + positive < 1)
    return bad("levels -%d to %d, expected some of -%d to %d", negative, positive, kMaxNegative, kMaxPositive);
  BITSR_CHECK(input(0, 0, nullptr));
  const ValueSpec& x = graph.values[o.inputs[0]];
  BITSR_CHECK(output(0, out, x));
  const uint64_t outs = static_cast<uint64_t>(out);
  const uint64_t taps = static_cast<uint64_t>(size) * size * static_cast<uint64_t>(x.channels);
  BITSR_CHECK(constant(kInverseStep, static_cast<uint64_t>(x.channels)));
  BITSR_CHECK(constant(kWeight, outs * taps));
  BITSR_CHECK(constant(kScale, outs));
  BITSR_CHECK(constant(kBias, static_cast<uint64_t>(classes) * outs));
  BITSR_CHECK(constant(kSlope, outs));
  const Levels weights(o.constants[kWeight], outs * taps);
  for (size_t channel = 0; channel < outs; ++channel) {
    int64_t sum = 0;
    for (size_t tap = 0; tap < taps; ++tap) {
      const int32_t weight = weights[channel * taps + tap];
      sum += weight < 0 ? -weight : weight;
    }
    const int64_t largest = sum * (negative > positive ? negative : positive);
    if (largest > INT32_MAX)
      return bad("sums of channel %d up to %lld do not fit 32 bits", static_cast<int>(channel),
                 static_cast<long long>(largest));
  }
  return {};
}

Status Checker::channel_norm() const {
  using namespace bitsr::channel_norm;
  BITSR_CHECK(input(0, 0, nullptr));
  const ValueSpec& x = graph.values[op().inputs[0]];
  BITSR_CHECK(output(0, x.channels, x));
  BITSR_CHECK(constant(kWeight, static_cast<uint64_t>(x.channels)));
  BITSR_CHECK(constant(kBias, static_cast<uint64_t>(x.channels)));
  BITSR_CHECK(constant(kEpsilon, 1));
  float epsilon;
  memcpy(&epsilon, op().constants[kEpsilon].data, sizeof(epsilon));
  if (!(epsilon > 0.0f) || !(epsilon < INFINITY))
    return bad("epsilon %g, expected a positive number", static_cast<double>(epsilon));
  return {};
}

Status Checker::pixel_gate() const {
  using namespace bitsr::pixel_gate;
  const int32_t out = op().attributes[kOutChannels];
  if (out < 1 || out > kMaxChannels) return bad("%d output channels, expected 1 to %d", out, kMaxChannels);
  BITSR_CHECK(input(0, 0, nullptr));
  const ValueSpec& x = graph.values[op().inputs[0]];
  BITSR_CHECK(output(0, out, x));
  BITSR_CHECK(constant(kWeight, static_cast<uint64_t>(out) * static_cast<uint64_t>(x.channels)));
  return constant(kBias, static_cast<uint64_t>(out));
}

Status Checker::rescale() const {
  using namespace bitsr::rescale;
  BITSR_CHECK(input(kX, 0, nullptr));
  const ValueSpec& x = graph.values[op().inputs[kX]];
  BITSR_CHECK(output(0, x.channels, x));
  BITSR_CHECK(input(kChannelGain, x.channels, nullptr));
  BITSR_CHECK(input(kSpatialGain, 1, &x));
  BITSR_CHECK(input(kGain, x.channels, &x));
  BITSR_CHECK(input(kResidual, x.channels, &x));
  return constant(kScale, static_cast<uint64_t>(x.channels));
}

Status Checker::add() const {
  using namespace bitsr::add;
  BITSR_CHECK(input(kA, 0, nullptr));
  const ValueSpec& a = graph.values[op().inputs[kA]];
  BITSR_CHECK(input(kB, a.channels, &a));
  return output(0, a.channels, a);
}

Status Checker::pixel_shuffle() const {
  using namespace bitsr::pixel_shuffle;
  const OpSpec& o = op();
  const int32_t factor = o.attributes[kFactor];
  if (factor < kMinFactor || factor > kMaxFactor)
    return bad("factor %d, expected %d to %d", factor, kMinFactor, kMaxFactor);
  BITSR_CHECK(input(kX, 0, nullptr));
  const ValueSpec& x = graph.values[o.inputs[kX]];
  if (x.channels % (factor * factor) != 0)
    return bad("x has %d channels, expected a multiple of %d", x.channels, factor * factor);
  const int32_t channels = x.channels / (factor * factor);
  const ValueSpec large = {ValueKind::map, channels, x.up * factor, x.down};
  BITSR_CHECK(output(0, channels, large));
  return input(kSkip, channels, &x);
}

// What the table does not say: which sizes belong together, and what numbers are allowed.
Status Checker::further_rules() const {
  switch (op().kind) {
    case OpKind::binary_conv2d:
      return binary_conv2d();
    case OpKind::channel_gate:
      return channel_gate();
    case OpKind::spatial_gate:
      return spatial_gate();
    case OpKind::add:
      return add();
    case OpKind::pixel_shuffle:
      return pixel_shuffle();
    case OpKind::quantized_spatial_gate:
      return quantized_spatial_gate();
    case OpKind::quantized_conv2d:
      return quantized_conv2d();
    case OpKind::channel_norm:
      return channel_norm();
    case OpKind::pixel_gate:
      return pixel_gate();
    case OpKind::rescale:
      return rescale();
  }
  return bad("kind %u is unknown to this version", static_cast<unsigned>(op().kind));
}

Status Checker::bad(const char* format, ...) const {
  char text[180];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return failure(StatusCode::invalid_program, "op %d (%s): %s", op_index, op_name(op().kind), text);
}

}  // namespace

Status validate(const Graph& graph) {
  const int32_t count = graph.values.count();
  if (graph.inputs.count() == 0 || graph.outputs.count() == 0 || graph.ops.count() == 0)
    return failure(StatusCode::invalid_program, "a program needs inputs, ops and outputs; got %d, %d, %d",
                   graph.inputs.count(), graph.ops.count(), graph.outputs.count());
  for (int32_t i = 0; i < count; ++i) {
    const ValueSpec& v = graph.values[i];
    const bool kind = is_map(v.kind) || v.kind == ValueKind::vector || v.kind == ValueKind::plane;
    if (!kind || v.channels < 1 || v.channels > kMaxChannels || v.up < 1 || v.up > kMaxRatio || v.down < 1 ||
        v.down > kMaxRatio || (v.kind == ValueKind::plane && v.channels != 1))
      return failure(StatusCode::invalid_program, "value %d: kind %d, %d channels, size ratio %d/%d is not allowed", i,
                     static_cast<int>(v.kind), v.channels, v.up, v.down);
  }
  // A value is written once, before it is read.
  Buffer written_memory;
  if (!written_memory.reserve(static_cast<size_t>(count) + 1))
    return failure(StatusCode::out_of_memory, "out of memory");
  auto* written = written_memory.as<uint8_t>();
  enum : uint8_t { kByCaller = 1, kByOp, kGiven };  // kGiven: an output
  const auto inside = [count](int32_t id) { return id >= 0 && id < count; };
  for (int32_t i = 0; i < graph.inputs.count(); ++i) {
    const int32_t id = graph.inputs[i];
    if (!inside(id) || written[id]) return failure(StatusCode::invalid_program, "input %d names value %d", i, id);
    written[id] = kByCaller;
  }
  const ValueSpec& first = graph.values[graph.inputs[0]];
  if (!is_map(first.kind) || first.up != 1 || first.down != 1)
    return failure(StatusCode::invalid_program, "the first input must be a map of size ratio 1/1");
  Checker checker{graph};
  for (int32_t i = 0; i < graph.ops.count(); ++i) {
    const OpSpec& op = graph.ops[i];
    checker.op_index = i;
    if (op.input_count < 0 || op.input_count > kMaxInputs || op.output_count < 0 || op.output_count > kMaxOutputs)
      return checker.bad("%d inputs and %d outputs", op.input_count, op.output_count);
    for (int32_t k = 0; k < op.input_count; ++k)
      if (op.inputs[k] != kAbsent && (!inside(op.inputs[k]) || !written[op.inputs[k]]))
        return checker.bad("input %d names value %d, which nothing has written", k, op.inputs[k]);
      else if (op.inputs[k] != kAbsent && graph.values[op.inputs[k]].kind == ValueKind::pixels &&
               written[op.inputs[k]] != kByCaller)
        return checker.bad("input %d names value %d, pixels that an op writes, which none may read", k, op.inputs[k]);
    for (int32_t k = 0; k < op.output_count; ++k)
      if (op.outputs[k] != kAbsent && (!inside(op.outputs[k]) || written[op.outputs[k]]))
        return checker.bad(
            "output %d names value %d, which does not exist or "
            "is written already",
            k, op.outputs[k]);
    checker.info = find_op(op.kind);
    if (!checker.info) return checker.bad("kind %u is unknown to this version", static_cast<unsigned>(op.kind));
    BITSR_CHECK(checker.counts());
    BITSR_CHECK(checker.further_rules());
    for (int32_t k = 0; k < op.output_count; ++k)
      if (op.outputs[k] != kAbsent) {
        if (written[op.outputs[k]]) return checker.bad("value %d is written twice", op.outputs[k]);
        written[op.outputs[k]] = kByOp;
      }
  }
  for (int32_t i = 0; i < graph.outputs.count(); ++i) {
    const int32_t id = graph.outputs[i];
    if (!inside(id) || (written[id] != kByOp && written[id] != kGiven))
      return failure(StatusCode::invalid_program, "output %d names value %d, which no op writes", i, id);
    if (written[id] == kGiven) return failure(StatusCode::invalid_program, "value %d is an output twice", id);
    written[id] = kGiven;
  }
  for (int32_t i = 0; i < count; ++i)
    if (graph.values[i].kind == ValueKind::pixels && written[i] == kByOp)
      return failure(StatusCode::invalid_program, "value %d is of pixels that an op writes, and no output", i);
  return {};
}

}  // namespace bitsr
