// Constants of the ops, checked and laid out for one instruction set.
#pragma once

#include "graph.h"
#include "row_kernels.h"

namespace bitsr {

constexpr int32_t kBorderClasses = 16;  // 4 * row class + column class; bit 0: first missing, bit 1: last missing

inline int32_t round_up_lanes(int32_t channels) { return (channels + kLaneCount - 1) / kLaneCount * kLaneCount; }

struct BinaryConv2dLayer {
  int32_t in_channels, in_stride, out_channels, out_stride, kernel_size, words, planes;
  Buffer threshold;  // [in_stride], +inf past the last channel; the static thresholds, or room for those of one image
  Buffer weights;
  size_t plane_bytes;
  Buffer dot_offset;                              // int32 [4 row classes][planes][4 column classes][out_stride]
  Buffer scale;                                   // [planes][out_stride]
  Buffer shift, inner_slope, inner_shift, slope;  // [out_stride]; empty when absent, shift never
};

struct ChannelGateLayer {
  int32_t channels, hidden, outputs, linear;
  Buffer w1, b1, w2, b2;
  Buffer mean, hidden_values, values;
};

struct SpatialGateLayer {
  int32_t kernel_size, stride;
  Buffer weight;  // [kernel_size][kernel_size][stride]
  float bias;
};

struct QuantizedSpatialGateLayer {
  int32_t kernel_size, stride;
  float negative, positive, scale, bias;
  Buffer inverse_step;  // [stride], the same number
  Buffer weight;        // int16 [kernel_size][kernel_size][stride]
};

struct QuantizedConv2dLayer {
  int32_t in_channels, out_channels, out_stride, kernel_size;
  float negative, positive;
  Buffer inverse_step;  // [in_channels]
  Buffer weights;       // as the kernels want them
  Buffer scale;         // [out_stride]
  Buffer bias;          // [4 row classes][4 column classes][out_stride]
  Buffer slope;         // [out_stride]; empty when absent
};

struct ChannelNormLayer {
  int32_t channels, stride;
  float epsilon;
  Buffer weight, bias;  // [stride]
};

struct PixelGateLayer {
  int32_t channels, out_channels;
  Buffer weight;  // [channels][out_stride]
  Buffer bias;    // [out_stride]
};

struct RescaleLayer {
  Buffer scale;  // [stride]; empty when absent
};

// One op with its constants; only the member of its kind is used.
struct Layer {
  OpSpec spec;
  BinaryConv2dLayer binary_conv2d;
  ChannelGateLayer channel_gate;
  SpatialGateLayer spatial_gate;
  QuantizedSpatialGateLayer quantized_spatial_gate;
  QuantizedConv2dLayer quantized_conv2d;
  ChannelNormLayer channel_norm;
  PixelGateLayer pixel_gate;
  RescaleLayer rescale;
  // Gates that directly follow a convolution and read its output take their sums row by row while it runs.
  bool computes_row_sums = false;       // of a convolution: channel gates follow
  int32_t next_spatial_gate = kAbsent;  // of a convolution: the spatial gate that follows
  bool row_sums_ready = false;          // of a gate: the convolution before it takes the sums
};

// False: out of memory. `spec` has passed validate().
bool prepare_layer(const OpSpec& spec, const ValueSpec& x, const RowKernels& kernels, Layer* layer);

}  // namespace bitsr
