// Every rule that the executor relies on, so that it never has to ask again.
#include <cstdarg>
#include <cstdio>

#include "graph.h"
#include "status.h"

namespace bitsr {
namespace {

constexpr int32_t kMaxChannels = 1 << 16;
constexpr int32_t kMaxRatio = 64;
constexpr int32_t kMinFactor = 2, kMaxFactor = 8;

struct Checker {
  const Graph& graph;
  int32_t op_index = -1;

  Status bad(const char* format, ...) const __attribute__((format(printf, 2, 3)));

  const OpSpec& op() const { return graph.ops[op_index]; }

  bool present_input(int32_t i) const { return op().inputs[i] != kAbsent; }

  Status counts(int32_t inputs, int32_t outputs, int32_t constants, int32_t attributes) const {
    const OpSpec& o = op();
    if (o.input_count != inputs || o.output_count != outputs || o.constant_count != constants ||
        o.attribute_count != attributes)
      return bad("expected %d inputs, %d outputs, %d constants, %d attributes; got %d, %d, %d, %d", inputs, outputs,
                 constants, attributes, o.input_count, o.output_count, o.constant_count, o.attribute_count);
    return {};
  }

  Status value(int32_t id, const char* role, ValueKind kind, int32_t channels, const ValueSpec* size) const {
    if (id == kAbsent) return bad("%s is missing", role);
    const ValueSpec& v = graph.values[id];
    if (v.kind != kind)
      return bad("%s is of kind %d, expected %d", role, static_cast<int>(v.kind), static_cast<int>(kind));
    if (channels > 0 && v.channels != channels)
      return bad("%s has %d channels, expected %d", role, v.channels, channels);
    if (size && kind != ValueKind::vector &&
        static_cast<int64_t>(v.up) * size->down != static_cast<int64_t>(size->up) * v.down)
      return bad("%s has another picture size than x", role);
    return {};
  }

  Status constant(int32_t i, const char* role, size_t count, size_t item, bool optional) const {
    const Constant& c = op().constants[i];
    if (!c.data) return optional ? Status{} : bad("constant %s is missing", role);
    if (c.bytes != count * item)
      return bad("constant %s has %lld bytes, expected %lld", role, static_cast<long long>(c.bytes),
                 static_cast<long long>(count * item));
    return {};
  }

  Status binary_conv2d() const;
  Status channel_gate() const;
  Status spatial_gate() const;
  Status quantized_spatial_gate() const;
  Status add() const;
  Status pixel_shuffle() const;
};

#define BITSR_CHECK(expression)          \
  do {                                   \
    const Status status_ = (expression); \
    if (!status_.ok()) return status_;   \
  } while (false)

Status Checker::binary_conv2d() const {
  BITSR_CHECK(counts(conv::kInputs, 1, conv::kConstants, conv::kAttributes));
  const OpSpec& o = op();
  const int32_t out = o.attributes[conv::kOutChannels], kernel = o.attributes[conv::kKernel];
  const int32_t planes = o.attributes[conv::kPlanes];
  if (out < 1 || out > kMaxChannels) return bad("%d output channels, expected 1 to %d", out, kMaxChannels);
  if (kernel != 1 && kernel != 3) return bad("kernel size %d, expected 1 or 3", kernel);
  if (planes != 1 && planes != 2) return bad("%d weight planes, expected 1 or 2", planes);
  BITSR_CHECK(value(o.inputs[conv::kX], "x", ValueKind::map, 0, nullptr));
  const ValueSpec& x = graph.values[o.inputs[conv::kX]];
  BITSR_CHECK(value(o.outputs[0], "y", ValueKind::map, out, &x));
  if (present_input(conv::kThreshold))
    BITSR_CHECK(value(o.inputs[conv::kThreshold], "threshold", ValueKind::vector, x.channels, nullptr));
  if (present_input(conv::kChannelGain))
    BITSR_CHECK(value(o.inputs[conv::kChannelGain], "channel_gain", ValueKind::vector, out, nullptr));
  if (present_input(conv::kSpatialGain))
    BITSR_CHECK(value(o.inputs[conv::kSpatialGain], "spatial_gain", ValueKind::plane, 1, &x));
  if (present_input(conv::kResidual))
    BITSR_CHECK(value(o.inputs[conv::kResidual], "residual", ValueKind::map, out, &x));
  if (present_input(conv::kThreshold) == (o.constants[conv::kThresholds].data != nullptr))
    return bad("the threshold must be either an input or a constant");
  const size_t words = (static_cast<size_t>(x.channels) + 63) / 64;
  const size_t rows = static_cast<size_t>(planes) * out * kernel * kernel;
  const size_t outs = static_cast<size_t>(out);
  BITSR_CHECK(constant(conv::kThresholds, "threshold", static_cast<size_t>(x.channels), 4, true));
  BITSR_CHECK(constant(conv::kWeights, "weight_bits", rows * words, 8, false));
  BITSR_CHECK(constant(conv::kScale, "scale", planes * outs, 4, false));
  BITSR_CHECK(constant(conv::kShift, "shift", outs, 4, true));
  BITSR_CHECK(constant(conv::kInnerSlope, "inner_slope", outs, 4, true));
  BITSR_CHECK(constant(conv::kInnerShift, "inner_shift", outs, 4, true));
  BITSR_CHECK(constant(conv::kSlope, "slope", outs, 4, true));
  if (x.channels % 64 != 0) {
    const auto* bits = static_cast<const uint8_t*>(o.constants[conv::kWeights].data);
    for (size_t row = 1; row <= rows; ++row) {
      uint64_t last;
      memcpy(&last, bits + (row * words - 1) * 8, 8);
      if (last >> (x.channels % 64)) return bad("weight_bits has bits set past channel %d", x.channels - 1);
    }
  }
  return {};
}

Status Checker::channel_gate() const {
  BITSR_CHECK(counts(1, gate::kOutputs, gate::kConstants, gate::kAttributes));
  const OpSpec& o = op();
  const int32_t hidden = o.attributes[gate::kHidden], all = o.attributes[gate::kAll];
  const int32_t linear = o.attributes[gate::kLinearCount];
  if (hidden < 1 || hidden > kMaxChannels) return bad("%d hidden units, expected 1 to %d", hidden, kMaxChannels);
  if (all < 1 || all > 2 * kMaxChannels) return bad("%d outputs, expected 1 to %d", all, 2 * kMaxChannels);
  if (linear < 0 || linear > all) return bad("%d linear outputs of %d", linear, all);
  BITSR_CHECK(value(o.inputs[0], "x", ValueKind::map, 0, nullptr));
  const size_t channels = static_cast<size_t>(graph.values[o.inputs[0]].channels);
  if ((linear > 0) != (o.outputs[gate::kLinear] != kAbsent) || (linear < all) != (o.outputs[gate::kSigmoid] != kAbsent))
    return bad("%d of %d outputs are linear, which does not fit the outputs given", linear, all);
  if (linear > 0) BITSR_CHECK(value(o.outputs[gate::kLinear], "linear", ValueKind::vector, linear, nullptr));
  if (linear < all) BITSR_CHECK(value(o.outputs[gate::kSigmoid], "sigmoid", ValueKind::vector, all - linear, nullptr));
  BITSR_CHECK(constant(gate::kW1, "w1", static_cast<size_t>(hidden) * channels, 4, false));
  BITSR_CHECK(constant(gate::kB1, "b1", static_cast<size_t>(hidden), 4, false));
  BITSR_CHECK(constant(gate::kW2, "w2", static_cast<size_t>(all) * static_cast<size_t>(hidden), 4, false));
  BITSR_CHECK(constant(gate::kB2, "b2", static_cast<size_t>(all), 4, false));
  return {};
}

Status Checker::spatial_gate() const {
  BITSR_CHECK(counts(1, 1, spatial::kConstants, 1));
  const OpSpec& o = op();
  const int32_t kernel = o.attributes[0];
  if (kernel != 1 && kernel != 3) return bad("kernel size %d, expected 1 or 3", kernel);
  BITSR_CHECK(value(o.inputs[0], "x", ValueKind::map, 0, nullptr));
  const ValueSpec& x = graph.values[o.inputs[0]];
  BITSR_CHECK(value(o.outputs[0], "s", ValueKind::plane, 1, &x));
  BITSR_CHECK(constant(spatial::kWeight, "weight", static_cast<size_t>(kernel) * kernel * x.channels, 4, false));
  BITSR_CHECK(constant(spatial::kBias, "bias", 1, 4, false));
  return {};
}

Status Checker::quantized_spatial_gate() const {
  BITSR_CHECK(counts(1, 1, quantized::kConstants, quantized::kAttributes));
  const OpSpec& o = op();
  const int32_t kernel = o.attributes[quantized::kKernel];
  const int64_t negative = o.attributes[quantized::kNegative], positive = o.attributes[quantized::kPositive];
  if (kernel != 1 && kernel != 3) return bad("kernel size %d, expected 1 or 3", kernel);
  if (negative < 0 || positive < 0 || negative + positive < 1 || negative + positive > 255)
    return bad("levels -%lld to %lld, expected 2 to 256 levels", static_cast<long long>(negative),
               static_cast<long long>(positive));
  BITSR_CHECK(value(o.inputs[0], "x", ValueKind::map, 0, nullptr));
  const ValueSpec& x = graph.values[o.inputs[0]];
  const int64_t taps = int64_t{kernel} * kernel * x.channels;
  const int64_t largest = taps * (negative > positive ? negative : positive) * 128;
  if (largest > INT32_MAX) return bad("sums up to %lld do not fit 32 bits", static_cast<long long>(largest));
  BITSR_CHECK(value(o.outputs[0], "s", ValueKind::plane, 1, &x));
  BITSR_CHECK(constant(quantized::kWeight, "weight", static_cast<size_t>(taps), 1, false));
  BITSR_CHECK(constant(quantized::kInverseStep, "inverse_step", 1, 4, false));
  BITSR_CHECK(constant(quantized::kScale, "scale", 1, 4, false));
  BITSR_CHECK(constant(quantized::kBias, "bias", 1, 4, false));
  return {};
}

Status Checker::add() const {
  BITSR_CHECK(counts(2, 1, 0, 0));
  const OpSpec& o = op();
  BITSR_CHECK(value(o.inputs[0], "a", ValueKind::map, 0, nullptr));
  const ValueSpec& a = graph.values[o.inputs[0]];
  BITSR_CHECK(value(o.inputs[1], "b", ValueKind::map, a.channels, &a));
  BITSR_CHECK(value(o.outputs[0], "y", ValueKind::map, a.channels, &a));
  return {};
}

Status Checker::pixel_shuffle() const {
  BITSR_CHECK(counts(shuffle::kInputs, 1, 0, 1));
  const OpSpec& o = op();
  const int32_t factor = o.attributes[0];
  if (factor < kMinFactor || factor > kMaxFactor)
    return bad("factor %d, expected %d to %d", factor, kMinFactor, kMaxFactor);
  BITSR_CHECK(value(o.inputs[shuffle::kX], "x", ValueKind::map, 0, nullptr));
  const ValueSpec& x = graph.values[o.inputs[shuffle::kX]];
  if (x.channels % (factor * factor) != 0)
    return bad("x has %d channels, expected a multiple of %d", x.channels, factor * factor);
  const int32_t channels = x.channels / (factor * factor);
  const ValueSpec large = {ValueKind::map, channels, x.up * factor, x.down};
  BITSR_CHECK(value(o.outputs[0], "y", ValueKind::map, channels, &large));
  if (present_input(shuffle::kSkip)) BITSR_CHECK(value(o.inputs[shuffle::kSkip], "skip", ValueKind::map, channels, &x));
  return {};
}

Status Checker::bad(const char* format, ...) const {
  char text[180];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return failure(StatusCode::invalid_program, "op %d (%s): %s", op_index, op_kind_name(op().kind), text);
}

}  // namespace

const char* op_kind_name(OpKind kind) {
  switch (kind) {
    case OpKind::binary_conv2d:
      return "binary_conv2d";
    case OpKind::channel_gate:
      return "channel_gate";
    case OpKind::spatial_gate:
      return "spatial_gate";
    case OpKind::add:
      return "add";
    case OpKind::pixel_shuffle:
      return "pixel_shuffle";
    case OpKind::quantized_spatial_gate:
      return "quantized_spatial_gate";
  }
  return "unknown op";
}

Status validate(const Graph& graph) {
  const int32_t count = graph.values.count();
  if (graph.inputs.count() == 0 || graph.outputs.count() == 0 || graph.ops.count() == 0)
    return failure(StatusCode::invalid_program, "a program needs inputs, ops and outputs; got %d, %d, %d",
                   graph.inputs.count(), graph.ops.count(), graph.outputs.count());
  for (int32_t i = 0; i < count; ++i) {
    const ValueSpec& v = graph.values[i];
    const bool kind = v.kind == ValueKind::map || v.kind == ValueKind::vector || v.kind == ValueKind::plane;
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
  const auto inside = [count](int32_t id) { return id >= 0 && id < count; };
  for (int32_t i = 0; i < graph.inputs.count(); ++i) {
    const int32_t id = graph.inputs[i];
    if (!inside(id) || written[id]) return failure(StatusCode::invalid_program, "input %d names value %d", i, id);
    written[id] = 1;
  }
  const ValueSpec& first = graph.values[graph.inputs[0]];
  if (first.kind != ValueKind::map || first.up != 1 || first.down != 1)
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
    for (int32_t k = 0; k < op.output_count; ++k)
      if (op.outputs[k] != kAbsent && (!inside(op.outputs[k]) || written[op.outputs[k]]))
        return checker.bad("output %d names value %d, which does not exist or is written already", k, op.outputs[k]);
    switch (op.kind) {
      case OpKind::binary_conv2d:
        BITSR_CHECK(checker.binary_conv2d());
        break;
      case OpKind::channel_gate:
        BITSR_CHECK(checker.channel_gate());
        break;
      case OpKind::spatial_gate:
        BITSR_CHECK(checker.spatial_gate());
        break;
      case OpKind::add:
        BITSR_CHECK(checker.add());
        break;
      case OpKind::pixel_shuffle:
        BITSR_CHECK(checker.pixel_shuffle());
        break;
      case OpKind::quantized_spatial_gate:
        BITSR_CHECK(checker.quantized_spatial_gate());
        break;
      default:
        return checker.bad("kind %u is unknown to this version", static_cast<unsigned>(op.kind));
    }
    for (int32_t k = 0; k < op.output_count; ++k)
      if (op.outputs[k] != kAbsent) {
        if (written[op.outputs[k]]) return checker.bad("value %d is written twice", op.outputs[k]);
        written[op.outputs[k]] = 2;
      }
  }
  for (int32_t i = 0; i < graph.outputs.count(); ++i) {
    const int32_t id = graph.outputs[i];
    if (!inside(id) || written[id] != 2)
      return failure(StatusCode::invalid_program, "output %d names value %d, which no op writes", i, id);
    for (int32_t k = 0; k < i; ++k)
      if (graph.outputs[k] == id) return failure(StatusCode::invalid_program, "value %d is an output twice", id);
  }
  return {};
}

}  // namespace bitsr
