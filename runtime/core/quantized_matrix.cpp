#include "quantized_matrix.h"

#include <arm_neon.h>

namespace bitsr {
namespace dotprod {
namespace {

constexpr int kPairs = MatrixWeights::kChannels / 2;

int8x16_t two_rows(const int8_t* a, const int8_t* b) { return vcombine_s8(vld1_s8(a), vld1_s8(b)); }

// kTwos times two pixels from `pixel` on; the last one comes twice where there is no other.
template <int kTwos, int kWeightBytes, int kLevelBytes>
void tile(const MatrixStrip& strip, int32_t pixel) {
  const int32_t octs = MatrixWeights::octs_of(strip.channels, strip.kernel_size), last = strip.pixels - 1;
  int32x4_t units[kTwos][kPairs], middle[kTwos][kPairs], top[kTwos][kPairs];
  for (int t = 0; t < kTwos; ++t)
    for (int c = 0; c < kPairs; ++c) units[t][c] = middle[t][c] = top[t][c] = vdupq_n_s32(0);
  size_t at[kTwos][2];
  for (int t = 0; t < kTwos; ++t)
    for (int p = 0; p < 2; ++p) {
      const int32_t number = pixel + 2 * t + p < last ? pixel + 2 * t + p : last;
      at[t][p] = static_cast<size_t>(number) * strip.channels;
    }
  const int8_t* w = strip.weights;
  for (int32_t k = 0; k < strip.kernel_size; ++k) {
    const int8_t *low = strip.low[k], *high = strip.high[k];
    for (int32_t oct = 0; oct < octs; ++oct, low += MatrixWeights::kOct, high += MatrixWeights::kOct) {
      int8x16_t l[kTwos], h[kTwos];
#pragma GCC unroll 2
      for (int t = 0; t < kTwos; ++t) {
        l[t] = two_rows(low + at[t][0], low + at[t][1]);
        if constexpr (kLevelBytes == 2) h[t] = two_rows(high + at[t][0], high + at[t][1]);
      }
#pragma GCC unroll 4
      for (int c = 0; c < kPairs; ++c, w += kWeightBytes * 16) {
        const int8x16_t m = vld1q_s8(w);
#pragma GCC unroll 2
        for (int t = 0; t < kTwos; ++t) {
          units[t][c] = vmmlaq_s32(units[t][c], l[t], m);
          if constexpr (kLevelBytes == 2) middle[t][c] = vmmlaq_s32(middle[t][c], h[t], m);
        }
        if constexpr (kWeightBytes == 2) {
          const int8x16_t g = vld1q_s8(w + 16);
#pragma GCC unroll 2
          for (int t = 0; t < kTwos; ++t) {
            top[t][c] = vmmlaq_s32(top[t][c], h[t], g);
            middle[t][c] = vmmlaq_s32(middle[t][c], l[t], g);
          }
        }
      }
    }
  }
  for (int c = 0; c < kPairs; ++c) {
    const int32x2_t correction = vreinterpret_s32_s16(vld1_s16(strip.correction + 4 * c));
    for (int t = 0; t < kTwos; ++t) {
      int32x4_t sums = vaddq_s32(units[t][c], vcombine_s32(correction, correction));
      if constexpr (kLevelBytes == 2) sums = vaddq_s32(sums, vshlq_n_s32(middle[t][c], 8));
      if constexpr (kWeightBytes == 2) sums = vaddq_s32(sums, vshlq_n_s32(top[t][c], 16));
      int32_t* const to = strip.dots + static_cast<size_t>(pixel + 2 * t) * strip.row_dots + 2 * c;
      vst1_s32(to, vget_low_s32(sums));
      if (pixel + 2 * t < last) vst1_s32(to + strip.row_dots, vget_high_s32(sums));
    }
  }
}

template <int kWeightBytes, int kLevelBytes>
void all(const MatrixStrip& strip) {
  int32_t pixel = 0;
  for (; pixel + 4 <= strip.pixels; pixel += 4) tile<2, kWeightBytes, kLevelBytes>(strip, pixel);
  for (; pixel < strip.pixels; pixel += 2) tile<1, kWeightBytes, kLevelBytes>(strip, pixel);
}

}  // namespace

void matrix_dots(const MatrixStrip& strip) {
  if (strip.level_bytes == 1)
    all<1, 1>(strip);
  else if (strip.weight_bytes == 1)
    all<1, 2>(strip);
  else
    all<2, 2>(strip);
}

}  // namespace dotprod
}  // namespace bitsr
