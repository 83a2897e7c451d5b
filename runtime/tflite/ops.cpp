#include "ops.h"

#include <cstring>

namespace bitsr::tflite {
namespace {

constexpr char kPrefix[] = "Bitsr";
constexpr ValueKind kMap = ValueKind::map, kVector = ValueKind::vector, kPlane = ValueKind::plane;

constexpr CustomOp kOps[] = {
    {"BitsrBinaryConv2d",
     OpKind::binary_conv2d,
     5,
     1,
     7,
     3,
     {kMap, kVector, kVector, kPlane, kMap},
     {kMap},
     {"out_channels", "kernel_size", "planes"}},
    {"BitsrChannelGate",
     OpKind::channel_gate,
     1,
     2,
     4,
     3,
     {kMap},
     {kVector, kVector},
     {"hidden", "outputs", "linear_count"}},
    {"BitsrSpatialGate", OpKind::spatial_gate, 1, 1, 2, 1, {kMap}, {kPlane}, {"kernel_size"}},
    {"BitsrQuantizedSpatialGate",
     OpKind::quantized_spatial_gate,
     1,
     1,
     4,
     3,
     {kMap},
     {kPlane},
     {"kernel_size", "negative", "positive"}},
    {"BitsrPixelShuffle", OpKind::pixel_shuffle, 2, 1, 0, 1, {kMap, kMap}, {kMap}, {"factor"}},
};

}  // namespace

const CustomOp* find_custom_op(const char* name) {
  for (const CustomOp& op : kOps) {
    if (std::strcmp(op.name, name) == 0) return &op;
  }
  return nullptr;
}

bool has_our_prefix(const char* name) { return std::strncmp(name, kPrefix, sizeof(kPrefix) - 1) == 0; }

}  // namespace bitsr::tflite
