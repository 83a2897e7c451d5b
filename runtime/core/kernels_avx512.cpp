// AVX-512 kernels (F, BW, VL, VPOPCNTDQ): one 32-bit lane per output channel.
#define BITSR_ISA avx512
#include "lanes_avx512.h"

#include <cstring>

namespace bitsr {
namespace avx512 {
namespace {

struct Popcount {
  static constexpr int32_t kWordBytes = 8;    // of 64 channels of a pixel
  static constexpr int32_t kWeightBytes = 8;  // of 64 weights
  static constexpr int kPixels = 6;  // 6 pixels x 4 vectors of sums and 4 of weights fill the 32 registers
  static constexpr int kGatePixels = 8;

  static void store_word(uint8_t* bits, uint64_t value) { memcpy(bits, &value, 8); }

  // A block is [half word][channel]: each step broadcasts 32 activation bits against 32 bits of every channel.
  static void store_weight(uint8_t* block, int32_t /*steps*/, int32_t channels, int32_t step, int32_t channel,
                           uint64_t value) {
    const uint32_t halves[2] = {static_cast<uint32_t>(value), static_cast<uint32_t>(value >> 32)};
    for (int h = 0; h < 2; ++h) memcpy(block + ((2 * static_cast<size_t>(step) + h) * channels + channel) * 4, &halves[h], 4);
  }

  template <int kCount, int kVectors>
  static inline __attribute__((always_inline)) void sums(const uint8_t* const* bits, int32_t kernel, int32_t words,
                                                         const uint8_t* block, int32_t* counts) {
    __m512i acc[kCount][kVectors];
    for (int p = 0; p < kCount; ++p)
      for (int j = 0; j < kVectors; ++j) acc[p][j] = _mm512_setzero_si512();
    const int32_t row_steps = 2 * kernel * words;
    const int32_t pixel_step = 8 * words;
    for (int32_t k = 0; k < kernel; ++k) {
      const uint8_t* a = bits[k];
#pragma GCC unroll 2
      for (int32_t s = 0; s < row_steps; ++s, a += 4, block += 64 * kVectors) {
        __m512i w[kVectors];
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) w[j] = _mm512_loadu_si512(block + 64 * j);
#pragma GCC unroll 8
        for (int p = 0; p < kCount; ++p) {
          int32_t dword;
          memcpy(&dword, a + p * pixel_step, 4);
          const __m512i x = _mm512_set1_epi32(dword);
#pragma GCC unroll 4
          for (int j = 0; j < kVectors; ++j)
            acc[p][j] = _mm512_add_epi32(acc[p][j], _mm512_popcnt_epi32(_mm512_xor_si512(x, w[j])));
        }
      }
    }
    for (int p = 0; p < kCount; ++p)
      for (int j = 0; j < kVectors; ++j) _mm512_store_si512(counts + p * 64 + j * 16, acc[p][j]);
  }

  template <int kVectors>
  static void tile_of(const uint8_t* const* bits, int32_t kernel, int32_t words, const uint8_t* block, int pixels,
                      int32_t* counts) {
    if (pixels == kPixels) {
      sums<kPixels, kVectors>(bits, kernel, words, block, counts);
      return;
    }
    const uint8_t* rest[3] = {};
    for (int p = 0; p < pixels; ++p) {
      for (int32_t k = 0; k < kernel; ++k) rest[k] = bits[k] + static_cast<size_t>(p) * words * 8;
      sums<1, kVectors>(rest, kernel, words, block, counts + p * 64);
    }
  }

  static void tile(const uint8_t* const* bits, int32_t kernel, int32_t words, const uint8_t* block, int pixels,
                   int32_t channels, int32_t* counts) {
    switch (channels / 16) {
      case 1: tile_of<1>(bits, kernel, words, block, pixels, counts); break;
      case 2: tile_of<2>(bits, kernel, words, block, pixels, counts); break;
      case 3: tile_of<3>(bits, kernel, words, block, pixels, counts); break;
      default: tile_of<4>(bits, kernel, words, block, pixels, counts); break;
    }
  }
};

}  // namespace
}  // namespace avx512
}  // namespace bitsr

#include "row_kernels_impl.h"

namespace bitsr {
const RowKernels* avx512_kernels() {
  const bool here = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vpopcntdq");
  return here ? &avx512::kKernels : nullptr;
}
}  // namespace bitsr
