// The row functions of quantized_conv2d in AVX-512 where the weights are bytes: four numbers a lane, twice as many as
// of 16 bits.
//
// A level is x = 256 h + l, h and l signed bytes, and a sum of products 256 sum(h w) + sum(l w) in integers modulo
// 2^32. Where all of the levels at hand are bytes themselves, as those of nearly all parts of a photo are, h is left
// out: this is what it is for. VNNI multiplies unsigned bytes by signed ones, so that 128 is added to h and to l, and
// each sum starts at -128 sum(w). Very few numbers of a kernel row would leave most of a step empty, and very many
// channels have no room: these layers go by pairs of 16 bits, like those of larger weights.
#pragma once

#include <cstring>

#include "lanes_avx512.h"
#include "row_kernels.h"

namespace bitsr {
namespace avx512 {
namespace {

struct QuantizedBytes {
  using Number = uint8_t;
  using Weight = int8_t;
  static constexpr int kMostParts = 2;
  static constexpr int kCount = 4;
  static constexpr int weight_place(int lane, int number) { return kCount * lane + number; }
  using Numbers = __m512i;
  using Weights = __m512i;
  static Numbers broadcast(const uint8_t* numbers) {
    int32_t all;
    memcpy(&all, numbers, sizeof(all));
    return _mm512_set1_epi32(all);
  }
  static Weights load(const int8_t* weights) { return _mm512_loadu_si512(weights); }
  // In assembly for the reason that I32 has.
  static void add_products(I32* sum, Numbers numbers, Weights weights) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum->v) : "v"(numbers), "v"(weights));
  }
  static I32 start(const int32_t* starts, int32_t channel) { return {_mm512_loadu_si512(starts + channel)}; }
  static void next_part(I32* sum, const int32_t* starts, int32_t channel) {
    sum->v = _mm512_add_epi32(_mm512_slli_epi32(sum->v, 8), start(starts, channel).v);
  }

  static constexpr int32_t kPixels = 24;         // of a row, split at once: tiles of all widths divide it
  static constexpr int32_t kMostNumbers = 3328;  // that these and their neighbours have: up to 128 channels
  static constexpr int32_t kSplit = 32;          // numbers that an instruction splits
  // 16-bit numbers in front of the weights, the first of which says whether these are bytes. A line of the cache, so
  // that no vector behind it lies across two.
  static constexpr int32_t kHeader = 2 * kLanes;

  static size_t weight_count(int32_t channels, int32_t out_stride, int32_t kernel_size) {
    const size_t bytes =
        static_cast<size_t>(out_stride) * 2 + (step_weights<QuantizedBytes>(channels, out_stride, kernel_size) + 1) / 2;
    const size_t pairs = quantized_weight_count(channels, out_stride, kernel_size);
    return kHeader + (bytes > pairs ? bytes : pairs);
  }

  static bool fits(const QuantizedWeights& weights) {
    const int32_t numbers = weights.kernel_size * weights.channels;
    // A larger level has no such h.
    if (weights.largest_level > kMostOfTwoBytes || numbers < 4 * kCount ||
        (kPixels + weights.kernel_size - 1) * weights.channels > kMostNumbers)
      return false;
    const size_t count = static_cast<size_t>(weights.out_channels) * weights.kernel_size * numbers;
    for (size_t i = 0; i < count; ++i)
      if (weights.canonical[i] < -128 || weights.canonical[i] > 127) return false;
    return true;
  }

  // Behind the header: what the sum of each output channel starts at, then the weights.
  static void pack(const QuantizedWeights& weights, int16_t* packed) {
    const bool bytes = fits(weights);
    packed[0] = bytes;
    packed += kHeader;
    if (!bytes) {
      pack_quantized_weights(weights, packed);
      return;
    }
    const size_t filter = static_cast<size_t>(weights.kernel_size) * weights.kernel_size * weights.channels;
    for (int32_t o = 0; o < weights.out_channels; ++o) {
      int32_t sum = 0;
      for (size_t i = 0; i < filter; ++i) sum -= 128 * weights.canonical[o * filter + i];
      memcpy(packed + static_cast<size_t>(o) * 2, &sum, sizeof(sum));
    }
    pack_steps<QuantizedBytes>(weights,
                               reinterpret_cast<int8_t*>(packed + static_cast<size_t>(weights.out_stride) * 2));
  }

  struct Split {
    uint8_t low[3][kMostNumbers + kSplit];
    uint8_t high[3][kMostNumbers + kSplit];
  };

  // Whether any level has an h that is not 0. What the last step reads behind them has the weight 0, and a value.
  static bool split(const int16_t* levels, int32_t count, uint8_t* low, uint8_t* high) {
    const __m512i offset = _mm512_set1_epi16(128);
    __m512i any = _mm512_setzero_si512();
    for (int32_t i = 0; i < count; i += kSplit) {
      const uint32_t rest = count - i < kSplit ? (uint32_t{1} << (count - i)) - 1 : ~uint32_t{0};
      const __m512i sum = _mm512_add_epi16(_mm512_maskz_loadu_epi16(rest, levels + i), offset);
      const __m512i h = _mm512_srai_epi16(sum, 8);
      any = _mm512_or_si512(any, h);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(low + i), _mm512_cvtepi16_epi8(sum));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(high + i), _mm512_cvtepi16_epi8(_mm512_add_epi16(h, offset)));
    }
    memset(low + count, 0, kCount);
    memset(high + count, 0, kCount);
    return _mm512_test_epi16_mask(any, any) != 0;
  }

  static void conv_row(const QuantizedConvRow& row) {
    const int16_t* const behind = row.weights + kHeader;
    if (row.weights[0] == 0) {
      QuantizedConvRow pairs = row;
      pairs.weights = behind;
      quantized_conv_row(pairs);
      return;
    }
    const auto* const start = reinterpret_cast<const int32_t*>(behind);
    const auto* const weights = reinterpret_cast<const int8_t*>(behind + static_cast<size_t>(row.out_stride) * 2);
    Split levels;
    // A rest that is narrower than a tile begins earlier.
    const int32_t last_vectors = row.out_stride / kLanes % I32::kVectors;
    const int32_t least = I32::kTile / (last_vectors > 0 ? last_vectors : I32::kVectors);
    for (int64_t x = 0; x < row.width; x += kPixels) {
      const int64_t first = row.width - x >= least || x == 0 ? x : row.width - least;
      const int32_t count = row.width - first < kPixels ? static_cast<int32_t>(row.width - first) : kPixels;
      bool high = false;
      for (int32_t k = 0; k < row.kernel_size; ++k)
        high |= split(row.x[k] + first * row.channels, (count + row.kernel_size - 1) * row.channels, levels.low[k],
                      levels.high[k]);
      quantized_pixels<QuantizedBytes>(
          row,
          {{{levels.low[0], levels.low[1], levels.low[2]}, {levels.high[0], levels.high[1], levels.high[2]}},
           high ? 2 : 1,
           first,
           count,
           start},
          weights);
    }
  }
};

}  // namespace
}  // namespace avx512
}  // namespace bitsr
