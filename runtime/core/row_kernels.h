// What an instruction set offers the program executor: functions over one row of a picture.
//
// Maps are NHWC float32; a pixel takes `stride` floats, a multiple of 16, and the lanes past the last channel are 0.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bitsr/isa.h"

namespace bitsr {

constexpr int kLaneCount = 16;
// Output channels of one weight block: 4 vectors of 16 lanes.
constexpr int kBlockChannels = 64;

struct Epilogue {
  const float* scale;        // [planes][stride]
  const float* shift;        // [stride], never null
  const float* inner_slope;  // [stride] or null, like all below
  const float* inner_shift;
  const float* channel_gain;
  const float* slope;
};

struct ConvRow {
  const uint8_t* bits[3];     // rows above, at and below (1x1: only [0]), from the left border pixel on
  const uint8_t* weights;     // as written by pack_weights
  const int32_t* dot_offset;  // [planes][4 column classes][out_stride]: accumulator = dot_offset - 2 * popcount
  int32_t kernel_size, words, planes;
  int64_t width;
  int32_t out_stride;
  Epilogue epilogue;
  const float* spatial_gain;  // [width] or null
  const float* residual;      // [width][out_stride] or null; may be `out`
  float* out;                 // [width][out_stride]
  // The input row that is packed next, [width][in_stride], or null: it comes into the cache meanwhile.
  const float* next_in;
  int32_t in_stride;
};

// What one input row gives to the spatial gates of the rows around it.
struct GateRow {
  const float* x;
  const float* weights;  // [kernel_size][kernel_size][stride]
  int32_t kernel_size, stride;
  int64_t width;
  float* sums[3];  // [width rounded up to 16] for every kernel row
};

struct QuantizeRow {
  const float* x;  // [width][stride]
  int64_t width;
  int32_t stride;
  const float* inverse_step;  // [stride]
  float negative, positive;
  int16_t* out;  // round(clip(x * inverse_step, -negative, positive)), halves to even; NaN gives -negative
};

// The largest number that two signed bytes make; the levels of BYTES and FINE_BYTES in export/deploy end there.
constexpr int32_t kMostOfTwoBytes = 256 * 127 + 127;

struct QuantizedWeights {
  const int16_t* canonical;  // [out_channels][kernel_size][kernel_size][channels]
  int32_t channels, out_channels, out_stride, kernel_size;
  int32_t largest_level;  // that they are multiplied with
};

struct QuantizedConvRow {
  const int16_t* x[3];     // rows above, at and below (1x1: only [0]), from the left border pixel on, [][channels]
  const int16_t* weights;  // as written by pack_quantized_weights
  int32_t kernel_size, channels, out_stride;
  int64_t width;
  const float* scale;  // [out_stride]
  const float* bias;   // [4 column classes][out_stride]
  const float* slope;  // [out_stride] or null
  float* out;          // [width][out_stride]
};

struct QuantizedGateRow {
  const int16_t* x[3];     // rows above, at and below (1x1: only [0]), from the left border pixel on
  const int16_t* weights;  // [kernel_size][kernel_size][stride]
  int32_t kernel_size, stride;
  int64_t width;
  float scale, bias;
  float* out;  // [width rounded up to 16]
};

struct ChannelNormRow {
  const float* x;  // [width][stride]
  int64_t width;
  int32_t channels, stride;
  const float* weight;  // [stride]
  const float* bias;    // [stride]
  float epsilon;
  float* out;  // [width][stride]; may be `x`
};

struct PixelGateRow {
  const float* x;        // [width][in_stride]
  const float* weights;  // [channels][out_stride]
  const float* bias;     // [out_stride]
  int64_t width;
  int32_t channels, in_stride, out_channels, out_stride;
  float* out;  // [width][out_stride]
};

struct RescaleRow {
  const float* x;  // [width][stride]
  int64_t width;
  int32_t stride;
  const float* scale;         // [stride] or null, like all below
  const float* channel_gain;  // [stride]
  const float* spatial_gain;  // [width]
  const float* gain;          // [width][stride]
  const float* residual;      // [width][stride]
  float* out;                 // [width][stride]; may be any of the maps above
};

struct FullyConnected {
  const float* weights;  // [outputs][inputs]
  const float* bias;     // [outputs]
  const float* in;
  float* out;
  int32_t inputs, outputs;
};

struct RowKernels {
  // Bytes of one 64-channel word of one pixel in the bit map of this instruction set.
  int32_t word_bytes;
  // Signs of one row; `threshold` is +inf in the lanes past the last channel.
  void (*pack_row)(const float* x, const float* threshold, int64_t width, int32_t stride, int32_t words, uint8_t* bits);
  // Bytes of the re-laid weights of one plane.
  size_t (*weight_bytes)(int32_t out_stride, int32_t kernel_size, int32_t words);
  // Re-lays one plane of canonical weights [out_channels][kernel_size][kernel_size][words] into zeroed memory.
  void (*pack_weights)(const uint64_t* canonical, int32_t out_channels, int32_t out_stride, int32_t kernel_size,
                       int32_t words, uint8_t* packed);
  void (*conv_row)(const ConvRow& row);
  void (*gate_sums)(const GateRow& row);
  // sigmoid(sums[0] + ... + sums[kernel - 1] + bias) over `width` rounded up to 16; a null row adds 0.
  void (*gate_finish)(const float* const* sums, int32_t kernel_size, float bias, int64_t width, float* out);
  void (*quantize_row)(const QuantizeRow& row);
  void (*quantized_gate_row)(const QuantizedGateRow& row);
  // How many 16-bit numbers the re-laid weights of a quantized convolution are.
  size_t (*quantized_weight_count)(int32_t channels, int32_t out_stride, int32_t kernel_size);
  // Re-lays them into zeroed memory.
  void (*pack_quantized_weights)(const QuantizedWeights& weights, int16_t* packed);
  void (*quantized_conv_row)(const QuantizedConvRow& row);
  void (*channel_norm_row)(const ChannelNormRow& row);
  void (*pixel_gate_row)(const PixelGateRow& row);
  void (*rescale_row)(const RescaleRow& row);
  void (*sum_row)(const float* x, int64_t width, int32_t stride, float* sums);
  void (*add_row)(const float* a, const float* b, int64_t count, float* out);  // count: a multiple of 16
  void (*fully_connected)(const FullyConnected& layer);
  void (*sigmoid)(float* x, int64_t count);  // in place; count: a multiple of 16
};

// The same with the convolutions of integers that `Quantized` has.
template <typename Quantized>
constexpr RowKernels with_quantized(RowKernels kernels) {
  kernels.quantized_weight_count = Quantized::weight_count;
  kernels.pack_quantized_weights = Quantized::pack;
  kernels.quantized_conv_row = Quantized::conv_row;
  return kernels;
}

// Null where this build or this processor lacks the instructions.
const RowKernels* portable_kernels();
const RowKernels* avx2_kernels();
const RowKernels* avx512_kernels();
const RowKernels* dotprod_kernels();
const RowKernels* neon_kernels();
const RowKernels* wasm_kernels();

// Those of an instruction set that is not `automatic`; null where this build or this processor lacks it.
const RowKernels* find_kernels(Isa isa);

}  // namespace bitsr
