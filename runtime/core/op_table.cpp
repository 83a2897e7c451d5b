#include "bitsr/op_table.h"

#include "graph.h"

namespace bitsr {
namespace {

constexpr ValueKind kMap = ValueKind::map, kVector = ValueKind::vector, kPlane = ValueKind::plane;
constexpr ConstantType kF32 = ConstantType::float32, kU64 = ConstantType::uint64, kI8 = ConstantType::int8;
constexpr ConstantType kLevels = ConstantType::levels;
constexpr bool kOptional = true;

constexpr OpInfo kOps[] = {
    {OpKind::binary_conv2d,
     "binary_conv2d",
     {{"x", kMap, false},
      {"threshold", kVector, kOptional},
      {"channel_gain", kVector, kOptional},
      {"spatial_gain", kPlane, kOptional},
      {"residual", kMap, kOptional}},
     {{"y", kMap, false}},
     {{"threshold", kF32, kOptional},
      {"weight_bits", kU64, false},
      {"scale", kF32, false},
      {"shift", kF32, kOptional},
      {"inner_slope", kF32, kOptional},
      {"inner_shift", kF32, kOptional},
      {"slope", kF32, kOptional}},
     {"out_channels", "kernel_size", "planes"}},
    {OpKind::channel_gate,
     "channel_gate",
     {{"x", kMap, false}},
     {{"linear", kVector, kOptional}, {"sigmoid", kVector, kOptional}},
     {{"w1", kF32, false}, {"b1", kF32, false}, {"w2", kF32, false}, {"b2", kF32, false}},
     {"hidden", "outputs", "linear_count"}},
    {OpKind::spatial_gate,
     "spatial_gate",
     {{"x", kMap, false}},
     {{"s", kPlane, false}},
     {{"weight", kF32, false}, {"bias", kF32, false}},
     {"kernel_size"}},
    {OpKind::add, "add", {{"a", kMap, false}, {"b", kMap, false}}, {{"y", kMap, false}}, {}, {}},
    {OpKind::pixel_shuffle,
     "pixel_shuffle",
     {{"x", kMap, false}, {"skip", kMap, kOptional}},
     {{"y", kMap, false}},
     {},
     {"factor"}},
    {OpKind::quantized_spatial_gate,
     "quantized_spatial_gate",
     {{"x", kMap, false}},
     {{"s", kPlane, false}},
     {{"weight", kI8, false}, {"inverse_step", kF32, false}, {"scale", kF32, false}, {"bias", kF32, false}},
     {"kernel_size", "negative", "positive"}},
    {OpKind::quantized_conv2d,
     "quantized_conv2d",
     {{"x", kMap, false}},
     {{"y", kMap, false}},
     {{"weight", kLevels, false},
      {"inverse_step", kF32, false},
      {"scale", kF32, false},
      {"bias", kF32, false},
      {"slope", kF32, kOptional}},
     {"out_channels", "kernel_size", "border_classes", "negative", "positive"}},
    {OpKind::channel_norm,
     "channel_norm",
     {{"x", kMap, false}},
     {{"y", kMap, false}},
     {{"weight", kF32, false}, {"bias", kF32, false}, {"epsilon", kF32, false}},
     {}},
    {OpKind::pixel_gate,
     "pixel_gate",
     {{"x", kMap, false}},
     {{"gain", kMap, false}},
     {{"weight", kF32, false}, {"bias", kF32, false}},
     {"out_channels"}},
    {OpKind::rescale,
     "rescale",
     {{"x", kMap, false},
      {"channel_gain", kVector, kOptional},
      {"spatial_gain", kPlane, kOptional},
      {"gain", kMap, kOptional},
      {"residual", kMap, kOptional}},
     {{"y", kMap, false}},
     {{"scale", kF32, kOptional}},
     {}},
};

constexpr const OpInfo& info_of(OpKind kind) {
  const OpInfo* info = kOps;
  while (info->kind != kind) ++info;
  return *info;
}

// The places that the code names (graph.h) are those of the table.
constexpr const OpInfo& kConv = info_of(OpKind::binary_conv2d);
static_assert(kConv.input_count() == binary_conv2d::kInputs && kConv.constant_count() == binary_conv2d::kConstants &&
              kConv.attribute_count() == binary_conv2d::kAttributes);
constexpr const OpInfo& kChannelGate = info_of(OpKind::channel_gate);
static_assert(kChannelGate.output_count() == channel_gate::kOutputs &&
              kChannelGate.constant_count() == channel_gate::kConstants &&
              kChannelGate.attribute_count() == channel_gate::kAttributes);
constexpr const OpInfo& kSpatialGate = info_of(OpKind::spatial_gate);
static_assert(kSpatialGate.constant_count() == spatial_gate::kConstants &&
              kSpatialGate.attribute_count() == spatial_gate::kAttributes);
constexpr const OpInfo& kQuantizedGate = info_of(OpKind::quantized_spatial_gate);
static_assert(kQuantizedGate.constant_count() == quantized_spatial_gate::kConstants &&
              kQuantizedGate.attribute_count() == quantized_spatial_gate::kAttributes);
constexpr const OpInfo& kQuantizedConv = info_of(OpKind::quantized_conv2d);
static_assert(kQuantizedConv.constant_count() == quantized_conv2d::kConstants &&
              kQuantizedConv.attribute_count() == quantized_conv2d::kAttributes);
constexpr const OpInfo& kNorm = info_of(OpKind::channel_norm);
static_assert(kNorm.constant_count() == channel_norm::kConstants && kNorm.attribute_count() == 0);
constexpr const OpInfo& kPixelGate = info_of(OpKind::pixel_gate);
static_assert(kPixelGate.constant_count() == pixel_gate::kConstants &&
              kPixelGate.attribute_count() == pixel_gate::kAttributes);
constexpr const OpInfo& kRescale = info_of(OpKind::rescale);
static_assert(kRescale.input_count() == rescale::kInputs && kRescale.constant_count() == rescale::kConstants &&
              kRescale.attribute_count() == 0);
constexpr const OpInfo& kShuffle = info_of(OpKind::pixel_shuffle);
static_assert(kShuffle.input_count() == pixel_shuffle::kInputs &&
              kShuffle.attribute_count() == pixel_shuffle::kAttributes);
constexpr const OpInfo& kAdd = info_of(OpKind::add);
static_assert(kAdd.input_count() == add::kInputs && kAdd.attribute_count() == 0);

}  // namespace

OpTable op_table() { return {kOps, kOps + sizeof(kOps) / sizeof(kOps[0])}; }

const OpInfo* find_op(OpKind kind) {
  for (const OpInfo& info : kOps)
    if (info.kind == kind) return &info;
  return nullptr;
}

const char* op_name(OpKind kind) {
  const OpInfo* info = find_op(kind);
  return info ? info->name : "unknown op";
}

size_t constant_bytes(ConstantType type) {
  switch (type) {
    case ConstantType::float32:
      return 4;
    case ConstantType::uint64:
      return 8;
    case ConstantType::int8:
    case ConstantType::levels:
      return 1;
  }
  return 0;
}

}  // namespace bitsr
