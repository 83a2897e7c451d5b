// A program as the builder collects it, and the check that makes it trustworthy.
#pragma once

#include "bitsr/builder.h"
#include "memory.h"

namespace bitsr {

struct Graph {
  Array<ValueSpec> values;
  Array<OpSpec> ops;
  Array<int32_t> inputs;
  Array<int32_t> outputs;
};

// Positions in OpSpec of the roles of ARCHITECTURE.md.
namespace conv {
enum Input { kX, kThreshold, kChannelGain, kSpatialGain, kResidual, kInputs };
enum Constant { kThresholds, kWeights, kScale, kShift, kInnerSlope, kInnerShift, kSlope, kConstants };
enum Attribute { kOutChannels, kKernel, kPlanes, kAttributes };
}  // namespace conv
namespace gate {
enum Output { kLinear, kSigmoid, kOutputs };
enum Constant { kW1, kB1, kW2, kB2, kConstants };
enum Attribute { kHidden, kAll, kLinearCount, kAttributes };
}  // namespace gate
namespace spatial {
enum Constant { kWeight, kBias, kConstants };
}  // namespace spatial
namespace quantized {
enum Constant { kWeight, kInverseStep, kScale, kBias, kConstants };
enum Attribute { kKernel, kNegative, kPositive, kAttributes };
}  // namespace quantized
namespace shuffle {
enum Input { kX, kSkip, kInputs };
}  // namespace shuffle

const char* op_kind_name(OpKind kind);
Status validate(const Graph& graph);

}  // namespace bitsr
