// The row functions of quantized_conv2d by dot products of bytes, where a layer's weights allow it.
//
// A level is x = 256 h + l + 128 and a weight w = 256 g + m, all of h, l, g, m signed bytes; a sum of products x * w is
//   2^16 sum(h g) + 2^8 sum(h m + l g) + sum(l m) + 128 sum(w)
// in integers modulo 2^32, and exact, because the sum itself fits. Without any weight beyond a byte the sums with g are
// left out, and a level is x = 256 h + l: where all of the levels at hand are bytes themselves, h is left out, too. For
// that the tails of export/deploy are made: in nearly all parts of a photo they have such levels. Weights and such
// levels above kMostOfTwoBytes have no such g or h, very many channels no room, and very few leave the instructions
// half empty: these layers go by pairs of 16 bits. Where the processor multiplies matrices of bytes, it does so here.
#pragma once

#include <cstring>

#include "cpu_arm.h"
#include "lanes_neon.h"
#include "quantized_matrix.h"
#include "row_kernels.h"

namespace bitsr {
namespace dotprod {
namespace {

struct QuantizedDot {
  static constexpr int kPixels = 4;              // of a tile
  static constexpr int kChannels = 4;            // output channels of a register of sums
  static constexpr int kQuad = 4;                // numbers that an instruction multiplies for a channel
  static constexpr int32_t kMostPixels = 16;     // whose levels are split at once
  static constexpr int32_t kMostNumbers = 1152;  // of a kernel row in them: all rows stay in the L1 cache
  static constexpr int32_t kSpare = 16;          // that a load of the last ones may read behind
  // 16-bit numbers in front of the weights; the first one: their form; the second: whether they lie for matrices.
  static constexpr int32_t kHeader = kLaneCount;
  // Form::kLowBytes is Form::kBytes where no level has an h.
  enum class Form : int16_t { kPairs, kLowBytes, kBytes, kBytePairs };
  static constexpr int32_t weight_bytes(Form form) { return form == Form::kBytePairs ? 2 : 1; }
  static constexpr int32_t level_bytes(Form form) { return form == Form::kLowBytes ? 1 : 2; }

  static int32_t quads_of(int32_t channels, int32_t kernel_size) {
    return (kernel_size * channels + kQuad - 1) / kQuad;
  }

  // Pixels that are split at once: a multiple of a tile's, 0 where there is room for none.
  static int32_t strip_of(int32_t channels) {
    const int32_t room = (kMostNumbers / channels - 2) / kPixels * kPixels;
    return room < 0 ? 0 : room < kMostPixels ? room : kMostPixels;
  }

  static size_t weight_count(int32_t channels, int32_t out_stride, int32_t kernel_size) {
    const size_t corrections = static_cast<size_t>(out_stride) * 2;
    // Those of matrices, whose rows end on more numbers.
    const size_t bytes = out_stride / MatrixWeights::kChannels *
                         MatrixWeights::group_bytes(channels, kernel_size, weight_bytes(Form::kBytePairs));
    const size_t pairs = quantized_weight_count(channels, out_stride, kernel_size), dots = corrections + bytes / 2;
    return kHeader + (dots > pairs ? dots : pairs);
  }

  static Form form_of(const QuantizedWeights& weights) {
    constexpr int kMostByte = 127;
    const int32_t numbers = weights.kernel_size * weights.channels;
    if (strip_of(weights.channels) == 0 || numbers < 4 * kQuad) return Form::kPairs;
    const size_t count = static_cast<size_t>(weights.out_channels) * weights.kernel_size * numbers;
    Form form = weights.largest_level > kMostOfTwoBytes ? Form::kBytePairs : Form::kBytes;
    for (size_t i = 0; i < count; ++i) {
      const int16_t weight = weights.canonical[i];
      if (weight > kMostOfTwoBytes) return Form::kPairs;
      if (weight > kMostByte || weight < -kMostByte - 1) form = Form::kBytePairs;
    }
    return form;
  }

  // Behind the header: what is added to the sum of each output channel, then
  // [4 output channels][kernel row][quad][byte of a weight], or as MatrixWeights has it.
  static void pack(const QuantizedWeights& weights, int16_t* packed) {
    const Form form = form_of(weights);
    const bool matrices = arm_features().matrix_product;
    packed[0] = static_cast<int16_t>(form);
    packed[1] = matrices;
    packed += kHeader;
    if (form == Form::kPairs) {
      pack_quantized_weights(weights, packed);
      return;
    }
    int8_t* const bytes = reinterpret_cast<int8_t*>(packed + static_cast<size_t>(weights.out_stride) * 2);
    const int32_t channels = weights.channels, kernel_size = weights.kernel_size;
    const int32_t row = kernel_size * channels, quads = quads_of(channels, kernel_size);
    const uint32_t factor = form == Form::kBytePairs ? 128 : 0;
    const int16_t* canonical = weights.canonical;
    for (int32_t o = 0; o < weights.out_channels; ++o) {
      uint32_t sum = 0;
      for (int32_t k = 0; k < kernel_size; ++k)
        for (int32_t i = 0; i < row; ++i) {
          const int32_t w = *canonical++;
          const auto low = static_cast<int8_t>(w & 255);
          int8_t* at = bytes;
          if (matrices) {
            at += MatrixWeights::place(channels, kernel_size, weight_bytes(form), o, k, i);
          } else {
            const size_t step = (static_cast<size_t>(o / kChannels) * kernel_size + k) * quads + i / kQuad;
            at += step * weight_bytes(form) * 16 + o % kChannels * kQuad + i % kQuad;
          }
          at[0] = low;
          if (form == Form::kBytePairs) at[16] = static_cast<int8_t>((w - low) / 256);
          sum += static_cast<uint32_t>(w) * factor;
        }
      memcpy(packed + static_cast<size_t>(o) * 2, &sum, 4);
    }
  }

  // h and l of the levels that `count` pixels and those beside them have, a row of the kernel behind the other.
  struct Split {
    alignas(16) int8_t low[3][kMostNumbers + kSpare];
    alignas(16) int8_t high[3][kMostNumbers + kSpare];
  };

  // The form that these levels need.
  static Form split(const QuantizedConvRow& row, int64_t x, int32_t count, Form form, Split* to) {
    const int32_t numbers = (count + row.kernel_size - 1) * row.channels;
    // A byte of 128 has the bits of -128: what is added makes of either form l and h the two bytes.
    const int32_t added_low = form == Form::kBytePairs ? 128 : 0, added_high = form == Form::kBytePairs ? 0 : 128;
    const uint8x16_t low = vdupq_n_u8(static_cast<uint8_t>(added_low));
    const uint16x8_t high = vdupq_n_u16(static_cast<uint16_t>(added_high));
    uint8x16_t any = vdupq_n_u8(0);
    for (int32_t k = 0; k < row.kernel_size; ++k) {
      const int16_t* from = row.x[k] + x * row.channels;
      int32_t i = 0;
      for (; i + 16 <= numbers; i += 16) {
        const uint16x8_t a = vreinterpretq_u16_s16(vld1q_s16(from + i)),
                         b = vreinterpretq_u16_s16(vld1q_s16(from + i + 8));
        const uint8x16_t l = vuzp1q_u8(vreinterpretq_u8_u16(a), vreinterpretq_u8_u16(b));
        const uint8x16_t h =
            vuzp2q_u8(vreinterpretq_u8_u16(vaddq_u16(a, high)), vreinterpretq_u8_u16(vaddq_u16(b, high)));
        vst1q_s8(to->low[k] + i, vreinterpretq_s8_u8(veorq_u8(l, low)));
        vst1q_s8(to->high[k] + i, vreinterpretq_s8_u8(h));
        any = vorrq_u8(any, h);
      }
      int32_t rest = 0;
      for (; i < numbers; ++i) {
        to->low[k][i] = static_cast<int8_t>((from[i] & 255) ^ added_low);
        to->high[k][i] = static_cast<int8_t>((from[i] + added_high) >> 8);
        rest |= to->high[k][i];
      }
      any = vorrq_u8(any, vdupq_n_u8(static_cast<uint8_t>(rest)));
      memset(to->low[k] + numbers, 0, kSpare);
      memset(to->high[k] + numbers, 0, kSpare);
    }
    return form == Form::kBytes && vmaxvq_u8(any) == 0 ? Form::kLowBytes : form;
  }

  template <int kCount, Form kForm>
  struct Sums {
    int32x4_t units[kCount], middle[kCount], top[kCount];

    Sums() {
      for (int p = 0; p < kCount; ++p) units[p] = middle[p] = top[p] = vdupq_n_s32(0);
    }
    template <int kLane>
    static inline __attribute__((always_inline)) void dot(int32x4_t* sum, int8x16_t w, int8x16_t x) {
#if defined(__clang__)
      *sum = vdotq_laneq_s32(*sum, w, x, kLane);
#else
      // GCC 12 sets those of one sum side by side, for which an in-order processor waits; this way they keep their
      // order.
      asm volatile("sdot %0.4s, %1.16b, %2.4b[%3]" : "+w"(*sum) : "w"(w), "w"(x), "i"(kLane));
#endif
    }
    // Adds the products of quad kLane of each pixel's 16 numbers.
    template <int kLane>
    inline __attribute__((always_inline)) void add(const int8_t* w, const int8x16_t* low, const int8x16_t* high) {
      const int8x16_t m = vld1q_s8(w);
      for (int p = 0; p < kCount; ++p) dot<kLane>(&units[p], m, low[p]);
      if constexpr (kForm != Form::kLowBytes)
        for (int p = 0; p < kCount; ++p) dot<kLane>(&middle[p], m, high[p]);
      if constexpr (kForm == Form::kBytePairs) {
        const int8x16_t g = vld1q_s8(w + 16);
        for (int p = 0; p < kCount; ++p) dot<kLane>(&top[p], g, high[p]);
        for (int p = 0; p < kCount; ++p) dot<kLane>(&middle[p], g, low[p]);
      }
    }
    int32x4_t total(int p, int32x4_t correction) const {
      int32x4_t sum = vaddq_s32(units[p], correction);
      if constexpr (kForm != Form::kLowBytes) sum = vaddq_s32(sum, vshlq_n_s32(middle[p], 8));
      if constexpr (kForm == Form::kBytePairs) sum = vaddq_s32(sum, vshlq_n_s32(top[p], 16));
      return sum;
    }
  };

  // The sums of kCount pixels from the strip's pixel `first` on, of four output channels.
  template <int kCount, Form kForm>
  static void tile(const Split& split, const QuantizedConvRow& row, int32_t first, const int8_t* w,
                   int32x4_t correction, int32_t* dots) {
    const int32_t quads = quads_of(row.channels, row.kernel_size);
    Sums<kCount, kForm> sums;
    for (int32_t k = 0; k < row.kernel_size; ++k) {
      const int8_t* low = split.low[k] + static_cast<size_t>(first) * row.channels;
      const int8_t* high = split.high[k] + static_cast<size_t>(first) * row.channels;
      int32_t q = 0;
      int8x16_t l[kCount], h[kCount];
      for (; q + 4 <= quads; q += 4, low += 16, high += 16, w += 4 * weight_bytes(kForm) * 16) {
        for (int p = 0; p < kCount; ++p) {
          l[p] = vld1q_s8(low + p * row.channels);
          h[p] = vld1q_s8(high + p * row.channels);
        }
        sums.template add<0>(w, l, h);
        sums.template add<1>(w + weight_bytes(kForm) * 16, l, h);
        sums.template add<2>(w + 2 * weight_bytes(kForm) * 16, l, h);
        sums.template add<3>(w + 3 * weight_bytes(kForm) * 16, l, h);
      }
      for (; q < quads; ++q, low += kQuad, high += kQuad, w += weight_bytes(kForm) * 16) {
        for (int p = 0; p < kCount; ++p) {
          l[p] = vld1q_s8(low + p * row.channels);
          h[p] = vld1q_s8(high + p * row.channels);
        }
        sums.template add<0>(w, l, h);
      }
    }
    for (int p = 0; p < kCount; ++p) vst1q_s32(dots + p * kLaneCount, sums.total(p, correction));
  }

  // The sums of `count` pixels, of four output channels, in tiles of kCount, and of fewer where there are not so many.
  template <int kCount, Form kForm>
  static void dots_of_4(const Split& split, const QuantizedConvRow& row, int32_t count, const int8_t* w,
                        const int16_t* correction, int32_t* dots) {
    if constexpr (kCount > 1) {
      if (count < kCount) {
        dots_of_4<kCount == kPixels ? 1 : kPixels, kForm>(split, row, count, w, correction, dots);
        return;
      }
    }
    const int32x4_t added = vreinterpretq_s32_s16(vld1q_s16(correction));
    // The last tile begins where it fits; what it computes again has the same value.
    for (int32_t p = 0; p < count; p += kCount) {
      const int32_t first = p + kCount <= count ? p : count - kCount;
      tile<kCount, kForm>(split, row, first, w, added, dots + first * kLaneCount);
    }
  }

  // `count` pixels from x on.
  template <Form kForm>
  static void strip(const Split& split, const QuantizedConvRow& row, int64_t x, int32_t count) {
    // As many sums at once as an instruction takes cycles: of low bytes alone a pixel has one.
    constexpr int kTile = kForm == Form::kLowBytes ? 2 * kPixels : kPixels;
    const bool matrices = row.weights[1] != 0;
    const int16_t* const corrections = row.weights + kHeader;
    const int8_t* w = reinterpret_cast<const int8_t*>(corrections + static_cast<size_t>(row.out_stride) * 2);
    const int32_t step = matrices ? MatrixWeights::kChannels : kChannels;  // output channels
    const size_t step_bytes = matrices ? MatrixWeights::group_bytes(row.channels, row.kernel_size, weight_bytes(kForm))
                                       : static_cast<size_t>(row.kernel_size) *
                                             quads_of(row.channels, row.kernel_size) * weight_bytes(kForm) * 16;
    alignas(16) int32_t dots[kMostPixels * kLaneCount];
    for (int32_t c = 0; c < row.out_stride; c += kLaneCount) {
      for (int32_t v = 0; v < kLaneCount; v += step, w += step_bytes) {
        const int16_t* const correction = corrections + static_cast<size_t>(c + v) * 2;
        if (matrices)
          matrix_dots({{split.low[0], split.low[1], split.low[2]},
                       {split.high[0], split.high[1], split.high[2]},
                       row.channels,
                       row.kernel_size,
                       count,
                       weight_bytes(kForm),
                       level_bytes(kForm),
                       w,
                       correction,
                       dots + v,
                       kLaneCount});
        else
          dots_of_4<kTile, kForm>(split, row, count, w, correction, dots + v);
      }
      for (int32_t p = 0; p < count; ++p) {
        I32 sums;
        for (int i = 0; i < 4; ++i) sums.v[i] = vld1q_s32(dots + p * kLaneCount + 4 * i);
        finish_quantized(row, x + p, c, sums);
      }
    }
  }

  static void conv_row(const QuantizedConvRow& row) {
    const auto form = static_cast<Form>(row.weights[0]);
    if (form == Form::kPairs) {
      QuantizedConvRow pairs = row;
      pairs.weights += kHeader;
      quantized_conv_row(pairs);
      return;
    }
    Split levels;
    const int32_t most = strip_of(row.channels);
    for (int64_t x = 0; x < row.width; x += most) {
      // A rest that is narrower than a tile begins earlier.
      const int64_t first = row.width - x >= kPixels || x == 0 ? x : row.width - kPixels;
      const int32_t count = row.width - first < most ? static_cast<int32_t>(row.width - first) : most;
      switch (split(row, first, count, form, &levels)) {
        case Form::kLowBytes:
          strip<Form::kLowBytes>(levels, row, first, count);
          break;
        case Form::kBytes:
          strip<Form::kBytes>(levels, row, first, count);
          break;
        default:
          strip<Form::kBytePairs>(levels, row, first, count);
          break;
      }
    }
  }
};

}  // namespace
}  // namespace dotprod
}  // namespace bitsr
