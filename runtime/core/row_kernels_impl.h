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
  if (vectors == 4) {  // one whole word a pixel: the thresholds stay in registers
    F32 thresholds[4], values[4];
    for (int j = 0; j < 4; ++j) thresholds[j] = F32::load(threshold + j * kLanes);
    for (int64_t i = 0; i < width; ++i, x += stride, bits += Popcount::kWordBytes) {
      for (int j = 0; j < 4; ++j) values[j] = F32::load(x + j * kLanes);
      Popcount::store_word(bits, greater_equal_word(values, thresholds));
    }
    return;
  }
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
  return static_cast<size_t>(out_stride) * kernel * kernel * words * Popcount::kWeightBytes;
}

void pack_weights(const uint64_t* canonical, int32_t out_channels, int32_t out_stride, int32_t kernel, int32_t words,
                  uint8_t* packed) {
  const int32_t steps = kernel * kernel * words;
  for (int32_t first = 0; first < out_stride; first += kBlockChannels) {
    const int32_t channels = out_stride - first < kBlockChannels ? out_stride - first : kBlockChannels;
    uint8_t* block = packed + static_cast<size_t>(first) * steps * Popcount::kWeightBytes;
    for (int32_t o = 0; o < channels && first + o < out_channels; ++o)
      for (int32_t s = 0; s < steps; ++s)
        Popcount::store_weight(block, kernel, words, channels, s, o,
                               canonical[static_cast<size_t>(first + o) * steps + s]);
  }
}

// Pixels whose sums are counted before their float part runs: a multiple of every kPixels; the sums stay in the L1
// cache.
constexpr int kStrip = 24;
constexpr int64_t kStripCounts = static_cast<int64_t>(kStrip) * kBlockChannels;
static_assert(kStrip % Popcount::kPixels == 0, "tiles fill a strip");

// What an epilogue has; the instances of finish_strip for all combinations hold no other branch in their loop.
enum EpilogueFlags { kTwoPlanes = 1, kInner = 2, kGains = 4, kResidual = 8, kSlope = 16, kEpilogues = 32 };

int epilogue_flags(const ConvRow& row) {
  const Epilogue& e = row.epilogue;
  return (row.planes == 2 ? kTwoPlanes : 0) | (e.inner_slope || e.inner_shift ? kInner : 0) |
         (e.channel_gain || row.spatial_gain ? kGains : 0) | (row.residual ? kResidual : 0) | (e.slope ? kSlope : 0);
}

// A missing factor is 1 and a missing summand -0: neither changes a bit of z.
inline F32 load_or(const float* p, int32_t c, float missing) { return p ? F32::load(p + c) : F32::set(missing); }

// The float part (law 5) of `pixels` pixels from x on, for the `channels` output channels from `first` on.
template <int kFlags>
void finish_strip(const ConvRow& row, int64_t x, int pixels, int32_t first, int32_t channels, const int32_t* counts) {
  const Epilogue& e = row.epilogue;
  const F32 zero = F32::set(0.0f), one = F32::set(1.0f);
  const int64_t stride = row.out_stride, plane_base = 4 * stride;
  // The column class changes at the row's first and last pixel only: 1, 2, or 3 where they are the same.
  const int64_t last = row.width - 1 - x;
  const int64_t first_class = x == 0 ? 1 : 0, last_class = row.width == 1 ? 3 : 2;
  for (int32_t c = first; c < first + channels; c += kLanes, counts += kLanes) {
    const F32 scale = F32::load(e.scale + c), shift = F32::load(e.shift + c);
    const F32 scale1 = kFlags & kTwoPlanes ? F32::load(e.scale + row.out_stride + c) : zero;
    const F32 inner_slope = kFlags & kInner ? load_or(e.inner_slope, c, 1.0f) : one;
    const F32 inner_shift = kFlags & kInner ? load_or(e.inner_shift, c, -0.0f) : zero;
    const F32 channel_gain = kFlags & kGains ? load_or(e.channel_gain, c, 1.0f) : one;
    const F32 slope = kFlags & kSlope ? F32::load(e.slope + c) : one;
    const int32_t* count = counts;
    const float* residual = kFlags & kResidual ? row.residual + x * stride + c : nullptr;
    float* out = row.out + x * stride + c;
    for (int p = 0; p < pixels; ++p, count += kBlockChannels, out += stride) {
      const int32_t* base = row.base + c;
      if (p == last)
        base += last_class * stride;
      else if (p == 0)
        base += first_class * stride;
      F32 z = fma(F32::dot(base, count), scale, shift);
      if constexpr ((kFlags & kTwoPlanes) != 0) z = fma(F32::dot(base + plane_base, count + kStripCounts), scale1, z);
      if constexpr ((kFlags & kInner) != 0) z = select(less(z, zero), z * inner_slope, z) + inner_shift;
      if constexpr ((kFlags & kGains) != 0)
        z = z * channel_gain * (row.spatial_gain ? F32::set(row.spatial_gain[x + p]) : one);
      if constexpr ((kFlags & kResidual) != 0) {
        z = z + F32::load(residual);
        residual += stride;
      }
      if constexpr ((kFlags & kSlope) != 0) z = select(less(z, zero), z * slope, z);
      z.store(out);
    }
  }
}

using FinishStrip = void (*)(const ConvRow&, int64_t, int, int32_t, int32_t, const int32_t*);
constexpr FinishStrip kFinishStrip[kEpilogues] = {
    finish_strip<0>,  finish_strip<1>,  finish_strip<2>,  finish_strip<3>,  finish_strip<4>,  finish_strip<5>,
    finish_strip<6>,  finish_strip<7>,  finish_strip<8>,  finish_strip<9>,  finish_strip<10>, finish_strip<11>,
    finish_strip<12>, finish_strip<13>, finish_strip<14>, finish_strip<15>, finish_strip<16>, finish_strip<17>,
    finish_strip<18>, finish_strip<19>, finish_strip<20>, finish_strip<21>, finish_strip<22>, finish_strip<23>,
    finish_strip<24>, finish_strip<25>, finish_strip<26>, finish_strip<27>, finish_strip<28>, finish_strip<29>,
    finish_strip<30>, finish_strip<31>};

// Counting bits leaves the memory idle: what the float part and the next row touch is fetched meanwhile.
inline __attribute__((always_inline)) void prefetch(const ConvRow& row, int64_t x, int pixels, int32_t first,
                                                    int32_t channels) {
  constexpr int32_t kLine = 16;  // floats of a cache line
  for (int64_t p = x; p < x + pixels; ++p) {
    for (int32_t c = first; c < first + channels; c += kLine) {
      __builtin_prefetch(row.out + p * row.out_stride + c, 1);
      if (row.residual) __builtin_prefetch(row.residual + p * row.out_stride + c);
    }
    if (row.next_in && first == 0)
      for (int32_t c = 0; c < row.in_stride; c += kLine) __builtin_prefetch(row.next_in + p * row.in_stride + c, 0, 2);
  }
}

void conv_row(const ConvRow& row) {
  const int32_t steps = row.kernel * row.kernel * row.words;
  const size_t pixel_bytes = static_cast<size_t>(row.words) * Popcount::kWordBytes;
  const size_t plane_bytes = weight_bytes(row.out_stride, row.kernel, row.words);
  const FinishStrip finish = kFinishStrip[epilogue_flags(row)];
  alignas(64) int32_t counts[2 * kStripCounts];
  for (int32_t first = 0; first < row.out_stride; first += kBlockChannels) {
    const int32_t channels = row.out_stride - first < kBlockChannels ? row.out_stride - first : kBlockChannels;
    const uint8_t* block = row.weights + static_cast<size_t>(first) * steps * Popcount::kWeightBytes;
    for (int64_t x = 0; x < row.width; x += kStrip) {
      const int pixels = row.width - x < kStrip ? static_cast<int>(row.width - x) : kStrip;
      for (int32_t plane = 0; plane < row.planes; ++plane)
        for (int p = 0; p < pixels; p += Popcount::kPixels) {
          const uint8_t* bits[3] = {};
          const int count = pixels - p < Popcount::kPixels ? pixels - p : Popcount::kPixels;
          if (plane == 0) prefetch(row, x + p, count, first, channels);
          for (int32_t k = 0; k < row.kernel; ++k) bits[k] = row.bits[k] + static_cast<size_t>(x + p) * pixel_bytes;
          Popcount::tile(bits, row.kernel, row.words, block + plane * plane_bytes, count, channels,
                         counts + plane * kStripCounts + p * kBlockChannels);
        }
      finish(row, x, pixels, first, channels, counts);
    }
  }
}

// Sums of kCount neighbouring pixels for all kernel rows: `vectors` contiguous vectors of x times those of w.
template <int kRows, int kCount>
inline void gate_group(const GateRow& row, const float* x, const float* w, int32_t vectors, F32* sums) {
  const int64_t kernel_row = static_cast<int64_t>(kRows) * row.stride;
  F32 acc[kRows][kCount];
  for (int k = 0; k < kRows; ++k)
    for (int p = 0; p < kCount; ++p) acc[k][p] = F32::set(0.0f);
  for (int32_t v = 0; v < vectors; ++v, x += kLanes, w += kLanes)
    for (int p = 0; p < kCount; ++p) {
      const F32 value = F32::load(x + static_cast<int64_t>(p) * row.stride);
      for (int k = 0; k < kRows; ++k) acc[k][p] = fma(value, F32::load(w + k * kernel_row), acc[k][p]);
    }
  for (int k = 0; k < kRows; ++k)
    for (int p = 0; p < kCount; ++p) sums[k * kLanes + p] = acc[k][p];
}

template <int kRows>
void gate_sums_of(const GateRow& row) {
  const int32_t vectors = row.stride / kLanes;
  constexpr int kRadius = kRows / 2;
  for (int64_t x0 = 0; x0 < row.width; x0 += kLanes) {
    const int count = row.width - x0 < kLanes ? static_cast<int>(row.width - x0) : kLanes;
    F32 sums[kRows * kLanes];
    for (int k = 0; k < kRows; ++k)
      for (int p = count; p < kLanes; ++p) sums[k * kLanes + p] = F32::set(0.0f);
    for (int p = 0; p < count;) {
      const int64_t x = x0 + p;
      // Taps outside the picture are left out.
      const bool left = x < kRadius, right = x + kRadius >= row.width;
      const int32_t begin = left ? 1 : 0, end = kRows - (right ? kRadius : 0);
      const float* from = row.x + (x - kRadius + begin) * row.stride;
      const float* w = row.weights + static_cast<int64_t>(begin) * row.stride;
      if (!left && !right && count - p >= Popcount::kGatePixels && x + Popcount::kGatePixels + kRadius <= row.width) {
        gate_group<kRows, Popcount::kGatePixels>(row, from, w, kRows * vectors, sums + p);
        p += Popcount::kGatePixels;
      } else {
        gate_group<kRows, 1>(row, from, w, (end - begin) * vectors, sums + p);
        ++p;
      }
    }
    for (int k = 0; k < kRows; ++k) tree_sums(sums + k * kLanes).store(row.sums[k] + x0);
  }
}

void gate_sums(const GateRow& row) {
  if (row.kernel == 3)
    gate_sums_of<3>(row);
  else
    gate_sums_of<1>(row);
}

void gate_finish(const float* const* sums, int32_t kernel, float bias, int64_t width, float* out) {
  const F32 zero = F32::set(0.0f), added = F32::set(bias);
  for (int64_t x = 0; x < width; x += kLanes) {
    F32 total = sums[0] ? F32::load(sums[0] + x) : zero;
    for (int32_t k = 1; k < kernel; ++k) total = total + (sums[k] ? F32::load(sums[k] + x) : zero);
    sigmoid_of(total + added).store(out + x);
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

}  // namespace
}  // namespace BITSR_ISA
}  // namespace bitsr

#include "quantized_gate_impl.h"

namespace bitsr {
namespace BITSR_ISA {
namespace {

constexpr RowKernels kKernels = {
    Popcount::kWordBytes, pack_row,           weight_bytes, pack_weights, conv_row,        gate_sums, gate_finish,
    quantize_row,         quantized_gate_row, sum_row,      add_row,      fully_connected, sigmoid};

}  // namespace
}  // namespace BITSR_ISA
}  // namespace bitsr
