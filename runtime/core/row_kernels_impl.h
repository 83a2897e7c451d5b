// The row functions, written once over the 16-lane vector, so that every instruction set gives the same bits.
//
// A file of one instruction set defines BITSR_ISA, includes its lanes and a `struct Popcount` in that namespace, then
// this file. The order of the floating-point operations is law 5 and 6 of ARCHITECTURE.md.
#pragma once

#include <cstring>

#include "row_kernels.h"

namespace bitsr {
namespace BITSR_ISA {
namespace {

// 1 / (1 + exp(-x)). The exponent is clamped to +-80: beyond it the result is 0 or 1 to float precision.
inline F32 sigmoid_of(F32 x) {
  const F32 one = F32::set(1.0f);
  F32 v = x * F32::set(-1.0f);
  v = select(less(v, F32::set(-80.0f)), F32::set(-80.0f), v);
  v = select(less(F32::set(80.0f), v), F32::set(80.0f), v);
  // exp(v) = 2^n exp(r), |r| <= ln(2) / 2; adding 1.5 * 2^23 rounds to the nearest integer.
  const F32 magic = F32::set(12582912.0f);
  const F32 t = fma(v, F32::set(1.44269504f), magic);
  const F32 n = t + F32::set(-12582912.0f);
  F32 r = fma(n, F32::set(-0.693359375f), v);
  r = fma(n, F32::set(2.12194440e-4f), r);
  F32 p = F32::set(1.0f / 5040.0f);
  p = fma(p, r, F32::set(1.0f / 720.0f));
  p = fma(p, r, F32::set(1.0f / 120.0f));
  p = fma(p, r, F32::set(1.0f / 24.0f));
  p = fma(p, r, F32::set(1.0f / 6.0f));
  p = fma(p, r, F32::set(0.5f));
  p = fma(p, r, one);
  p = fma(p, r, one);
  return one / (one + p * power_of_two(t));
}

void sigmoid(float* x, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) sigmoid_of(F32::load(x + i)).store(x + i);
}

void pack_row(const float* x, const float* threshold, int64_t width, int32_t stride, int32_t words, uint8_t* bits) {
  const int32_t vectors = stride / kLanes;
  for (int64_t i = 0; i < width; ++i, x += stride) {
    for (int32_t word = 0; word < words; ++word, bits += Popcount::kWordBytes) {
      uint64_t value = 0;
      const int32_t first = 4 * word;
      const int32_t count = vectors - first < 4 ? vectors - first : 4;
      for (int32_t j = 0; j < count; ++j) {
        const int32_t c = (first + j) * kLanes;
        value |= static_cast<uint64_t>(greater_equal_bits(F32::load(x + c), F32::load(threshold + c))) << (16 * j);
      }
      Popcount::store_word(bits, value);
    }
  }
}

// Weight blocks of 64 output channels (the last one smaller), inside a block as Popcount wants it.
size_t weight_bytes(int32_t out_stride, int32_t kernel, int32_t words) {
  return static_cast<size_t>(out_stride) * kernel * kernel * words * Popcount::kWordBytes;
}

void pack_weights(const uint64_t* canonical, int32_t out_channels, int32_t out_stride, int32_t kernel, int32_t words,
                  uint8_t* packed) {
  const int32_t steps = kernel * kernel * words;
  for (int32_t first = 0; first < out_stride; first += kBlockChannels) {
    const int32_t channels = out_stride - first < kBlockChannels ? out_stride - first : kBlockChannels;
    uint8_t* block = packed + static_cast<size_t>(first) * steps * Popcount::kWordBytes;
    for (int32_t o = 0; o < channels && first + o < out_channels; ++o)
      for (int32_t s = 0; s < steps; ++s)
        Popcount::store_weight(block, steps, channels, s, o, canonical[static_cast<size_t>(first + o) * steps + s]);
  }
}

// The float part of `pixels` neighbouring pixels of one column class, for 16 output channels from `c` on.
inline void finish(const ConvRow& row, int64_t x, int32_t column, const int32_t* counts, int64_t plane_size, int32_t c) {
  const Epilogue& e = row.epilogue;
  F32 z = F32::load(e.shift + c);
  for (int32_t plane = 0; plane < row.planes; ++plane) {
    const int32_t* base = row.base + (static_cast<int64_t>(plane) * 4 + column) * row.out_stride + c;
    alignas(64) int32_t dot[kLanes];
    for (int l = 0; l < kLanes; ++l) dot[l] = base[l] - 2 * counts[plane * plane_size + l];
    z = fma(F32::from_int(dot), F32::load(e.scale + static_cast<int64_t>(plane) * row.out_stride + c), z);
  }
  const F32 zero = F32::set(0.0f);
  if (e.inner_slope) z = select(less(z, zero), z * F32::load(e.inner_slope + c), z);
  if (e.inner_shift) z = z + F32::load(e.inner_shift + c);
  if (e.channel_gain) z = z * F32::load(e.channel_gain + c);
  if (row.spatial_gain) z = z * F32::set(row.spatial_gain[x]);
  if (row.residual) z = z + F32::load(row.residual + x * row.out_stride + c);
  if (e.slope) z = select(less(z, zero), z * F32::load(e.slope + c), z);
  z.store(row.out + x * row.out_stride + c);
}

void conv_row(const ConvRow& row) {
  const int32_t steps = row.kernel * row.kernel * row.words;
  const size_t pixel_bytes = static_cast<size_t>(row.words) * Popcount::kWordBytes;
  const size_t plane_bytes = weight_bytes(row.out_stride, row.kernel, row.words);
  constexpr int64_t kTile = static_cast<int64_t>(Popcount::kPixels) * kBlockChannels;
  alignas(64) int32_t counts[2 * kTile];
  for (int32_t first = 0; first < row.out_stride; first += kBlockChannels) {
    const int32_t channels = row.out_stride - first < kBlockChannels ? row.out_stride - first : kBlockChannels;
    const uint8_t* block = row.weights + static_cast<size_t>(first) * steps * Popcount::kWordBytes;
    for (int64_t x = 0; x < row.width; x += Popcount::kPixels) {
      const int pixels = row.width - x < Popcount::kPixels ? static_cast<int>(row.width - x) : Popcount::kPixels;
      const uint8_t* bits[3];
      for (int32_t k = 0; k < row.kernel; ++k) bits[k] = row.bits[k] + static_cast<size_t>(x) * pixel_bytes;
      for (int32_t plane = 0; plane < row.planes; ++plane)
        Popcount::tile(bits, row.kernel, row.words, block + plane * plane_bytes, pixels, channels, counts + plane * kTile);
      for (int p = 0; p < pixels; ++p) {
        const int32_t column = (x + p == 0 ? 1 : 0) | (x + p == row.width - 1 ? 2 : 0);
        for (int32_t c = 0; c < channels; c += kLanes)
          finish(row, x + p, column, counts + p * kBlockChannels + c, kTile, first + c);
      }
    }
  }
}

// Sums of `count` neighbouring pixels of one kernel row: `vectors` contiguous vectors of x times those of w.
inline void gate_partial(const float* x, const float* w, int32_t vectors, int32_t stride, int count, F32* partial) {
  F32 acc[Popcount::kGatePixels];
  for (int p = 0; p < Popcount::kGatePixels; ++p) acc[p] = F32::set(0.0f);
  if (count == Popcount::kGatePixels) {
    for (int32_t v = 0; v < vectors; ++v) {
      const F32 weight = F32::load(w + v * kLanes);
      for (int p = 0; p < Popcount::kGatePixels; ++p)
        acc[p] = fma(F32::load(x + static_cast<int64_t>(p) * stride + v * kLanes), weight, acc[p]);
    }
  } else {
    for (int p = 0; p < count; ++p)
      for (int32_t v = 0; v < vectors; ++v)
        acc[p] = fma(F32::load(x + static_cast<int64_t>(p) * stride + v * kLanes), F32::load(w + v * kLanes), acc[p]);
  }
  for (int p = 0; p < count; ++p) partial[p] = acc[p];
}

void gate_row(const GateRow& row) {
  const int32_t vectors = row.stride / kLanes;
  const int32_t radius = row.kernel / 2;
  for (int64_t x0 = 0; x0 < row.width; x0 += kLanes) {
    const int count = row.width - x0 < kLanes ? static_cast<int>(row.width - x0) : kLanes;
    F32 total = F32::set(0.0f);
    for (int32_t k = 0; k < row.kernel; ++k) {
      F32 partial[kLanes];
      for (int p = 0; p < kLanes; ++p) partial[p] = F32::set(0.0f);
      const float* w = row.weights + static_cast<int64_t>(k) * row.kernel * row.stride;
      if (row.rows[k]) {
        for (int p = 0; p < count;) {
          const int64_t x = x0 + p;
          const bool left = x < radius, right = x + radius >= row.width;
          int group = 1;
          if (!left && !right) {
            const int64_t inside = row.width - radius - x;
            group = count - p < Popcount::kGatePixels ? count - p : Popcount::kGatePixels;
            if (group > inside) group = static_cast<int>(inside);
          }
          const int32_t begin = left ? 1 : 0, end = row.kernel - (right ? radius : 0);
          gate_partial(row.rows[k] + (x - radius + begin) * row.stride, w + static_cast<int64_t>(begin) * row.stride,
                       (end - begin) * vectors, row.stride, group, partial + p);
          p += group;
        }
      }
      const F32 sums = tree_sums(partial);
      total = k == 0 ? sums : total + sums;
    }
    sigmoid_of(total + F32::set(row.bias)).store(row.out + x0);
  }
}

void sum_row(const float* x, int64_t width, int32_t stride, float* sums) {
  int32_t c = 0;
  for (; c + 4 * kLanes <= stride; c += 4 * kLanes) {
    F32 s[4];
    for (int j = 0; j < 4; ++j) s[j] = F32::set(0.0f);
    for (int64_t i = 0; i < width; ++i)
      for (int j = 0; j < 4; ++j) s[j] = s[j] + F32::load(x + i * stride + c + j * kLanes);
    for (int j = 0; j < 4; ++j) s[j].store(sums + c + j * kLanes);
  }
  for (; c < stride; c += kLanes) {
    F32 s = F32::set(0.0f);
    for (int64_t i = 0; i < width; ++i) s = s + F32::load(x + i * stride + c);
    s.store(sums + c);
  }
}

void add_row(const float* a, const float* b, int64_t count, float* out) {
  for (int64_t i = 0; i < count; i += kLanes) (F32::load(a + i) + F32::load(b + i)).store(out + i);
}

void fully_connected(const FullyConnected& layer) {
  for (int32_t o = 0; o < layer.outputs; ++o) {
    float sum = layer.bias[o];
    const float* w = layer.weights + static_cast<int64_t>(o) * layer.inputs;
    for (int32_t i = 0; i < layer.inputs; ++i) sum = __builtin_fmaf(w[i], layer.in[i], sum);
    layer.out[o] = sum;
  }
}

constexpr RowKernels kKernels = {Popcount::kWordBytes, pack_row, weight_bytes, pack_weights,    conv_row,
                                 gate_row,             sum_row,  add_row,      fully_connected, sigmoid};

}  // namespace
}  // namespace BITSR_ISA
}  // namespace bitsr
