// A program as the builder collects it, and the check that makes it trustworthy.
#pragma once

#include <cstring>

#include "bitsr/builder.h"
#include "memory.h"

namespace bitsr {

struct Graph {
  Array<ValueSpec> values;
  Array<OpSpec> ops;
  Array<int32_t> inputs;
  Array<int32_t> outputs;
};

// Names of the places of the op table (bitsr/op_table.h), for code that reads an OpSpec.
namespace binary_conv2d {
enum Input { kX, kThreshold, kChannelGain, kSpatialGain, kResidual, kInputs };
enum Constant { kThresholds, kWeights, kScale, kShift, kInnerSlope, kInnerShift, kSlope, kConstants };
enum Attribute { kOutChannels, kKernelSize, kPlanes, kAttributes };
}  // namespace binary_conv2d
namespace channel_gate {
enum Output { kLinear, kSigmoid, kOutputs };
enum Constant { kW1, kB1, kW2, kB2, kConstants };
enum Attribute { kHidden, kOutputCount, kLinearCount, kAttributes };
}  // namespace channel_gate
namespace spatial_gate {
enum Constant { kWeight, kBias, kConstants };
enum Attribute { kKernelSize, kAttributes };
}  // namespace spatial_gate
namespace add {
enum Input { kA, kB, kInputs };
}  // namespace add
namespace pixel_shuffle {
enum Input { kX, kSkip, kInputs };
enum Attribute { kFactor, kAttributes };
}  // namespace pixel_shuffle
namespace quantized_spatial_gate {
enum Constant { kWeight, kInverseStep, kScale, kBias, kConstants };
enum Attribute { kKernelSize, kNegative, kPositive, kAttributes };
}  // namespace quantized_spatial_gate
namespace quantized_conv2d {
enum Constant { kWeight, kInverseStep, kScale, kBias, kSlope, kConstants };
enum Attribute { kOutChannels, kKernelSize, kBorderClasses, kNegative, kPositive, kAttributes };
}  // namespace quantized_conv2d
namespace channel_norm {
enum Constant { kWeight, kBias, kEpsilon, kConstants };
}  // namespace channel_norm
namespace pixel_gate {
enum Constant { kWeight, kBias, kConstants };
enum Attribute { kOutChannels, kAttributes };
}  // namespace pixel_gate
namespace rescale {
enum Input { kX, kChannelGain, kSpatialGain, kGain, kResidual, kInputs };
enum Constant { kScale, kConstants };
}  // namespace rescale

// A constant of `count` levels, int8 or int16 by its bytes; it needs no alignment.
class Levels {
 public:
  Levels(const Constant& constant, size_t count)
      : data_(static_cast<const uint8_t*>(constant.data)), wide_(constant.bytes == count * sizeof(int16_t)) {}
  int16_t operator[](size_t place) const {
    if (!wide_) return static_cast<int8_t>(data_[place]);
    int16_t level;
    memcpy(&level, data_ + place * sizeof(level), sizeof(level));
    return level;
  }

 private:
  const uint8_t* data_;
  bool wide_;
};

Status validate(const Graph& graph);

}  // namespace bitsr
