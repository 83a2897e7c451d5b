#include "custom_ops.h"

#include <cstring>

namespace bitsr::tflite {
namespace {

constexpr char kPrefix[] = "Bitsr";

struct CustomName {
  const char* name;
  OpKind kind;
};
constexpr CustomName kNames[] = {{"BitsrBinaryConv2d", OpKind::binary_conv2d},
                                 {"BitsrChannelGate", OpKind::channel_gate},
                                 {"BitsrSpatialGate", OpKind::spatial_gate},
                                 {"BitsrQuantizedSpatialGate", OpKind::quantized_spatial_gate},
                                 {"BitsrQuantizedConv2d", OpKind::quantized_conv2d},
                                 {"BitsrPixelShuffle", OpKind::pixel_shuffle},
                                 {"BitsrChannelNorm", OpKind::channel_norm},
                                 {"BitsrPixelGate", OpKind::pixel_gate},
                                 {"BitsrRescale", OpKind::rescale}};

}  // namespace

const OpInfo* find_custom_op(const char* name) {
  for (const CustomName& custom : kNames) {
    if (std::strcmp(custom.name, name) == 0) return find_op(custom.kind);
  }
  return nullptr;
}

bool has_our_prefix(const char* name) { return std::strncmp(name, kPrefix, sizeof(kPrefix) - 1) == 0; }

}  // namespace bitsr::tflite
