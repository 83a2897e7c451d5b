// AVX2 kernels: one nibble per byte, so that one byte shuffle counts the bits of an XOR.
#define BITSR_ISA avx2
#include "lanes_avx2.h"

#include <cstring>

namespace bitsr {
namespace avx2 {
namespace {

struct Popcount {
  static constexpr int32_t kWordBytes = 16;
  static constexpr int kPixels = 2;  // 2 pixels x 4 vectors of sums fit the 16 registers
  static constexpr int kGatePixels = 4;
  // A byte of a sum grows by at most 4 a step.
  static constexpr int32_t kStepsPerFlush = 63;
  static_assert(kStepsPerFlush * 4 <= 255, "a byte of the sums must not overflow");

  static void store_word(uint8_t* bits, uint64_t value) {
    const __m128i v = _mm_cvtsi64_si128(static_cast<int64_t>(value)), mask = _mm_set1_epi8(15);
    const __m128i low = _mm_and_si128(v, mask), high = _mm_and_si128(_mm_srli_epi64(v, 4), mask);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(bits), _mm_unpacklo_epi8(low, high));
  }

  // A block is [group of 8 channels][step][channel] words of 16 nibbles.
  static void store_weight(uint8_t* block, int32_t steps, int32_t /*channels*/, int32_t step, int32_t channel,
                           uint64_t value) {
    store_word(block + ((static_cast<size_t>(channel / 8) * steps + step) * 8 + channel % 8) * 16, value);
  }

  // sums[j] = four 64-bit sums: low and high half of channel 2j, then of channel 2j+1.
  static void finish_sums(const __m256i* sums, int32_t* counts) {
    const __m256i a = _mm256_or_si256(sums[0], _mm256_slli_epi64(sums[1], 32));
    const __m256i b = _mm256_or_si256(sums[2], _mm256_slli_epi64(sums[3], 32));
    const __m256i u = _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));  // 0 2 4 6 | 1 3 5 7
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(counts), _mm256_permutevar8x32_epi32(u, order));
  }

  template <int kCount>
  static inline __attribute__((always_inline)) void sums(const uint8_t* const* bits, int32_t kernel, int32_t words,
                                                         const uint8_t* w, int32_t* counts) {
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                           0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i zero = _mm256_setzero_si256();
    const int32_t row_steps = kernel * words;
    const int32_t pixel_step = 16 * words;
    __m256i total[kCount][4], acc[kCount][4];
    for (int p = 0; p < kCount; ++p)
      for (int j = 0; j < 4; ++j) total[p][j] = acc[p][j] = zero;
    int32_t room = kStepsPerFlush;
    const auto flush = [&] {
      for (int p = 0; p < kCount; ++p)
        for (int j = 0; j < 4; ++j) {
          total[p][j] = _mm256_add_epi64(total[p][j], _mm256_sad_epu8(acc[p][j], zero));
          acc[p][j] = zero;
        }
      room = kStepsPerFlush;
    };
    for (int32_t k = 0; k < kernel; ++k) {
      const uint8_t* a = bits[k];
      for (int32_t s = 0; s < row_steps;) {
        int32_t run = row_steps - s;
        if (run > room) run = room;
        for (int32_t i = 0; i < run; ++i, a += 16, w += 128) {
          __m256i x[kCount];
          for (int p = 0; p < kCount; ++p)
            x[p] = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a + p * pixel_step)));
#pragma GCC unroll 4
          for (int j = 0; j < 4; ++j) {
            const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 32 * j));
#pragma GCC unroll 2
            for (int p = 0; p < kCount; ++p)
              acc[p][j] = _mm256_add_epi8(acc[p][j], _mm256_shuffle_epi8(table, _mm256_xor_si256(x[p], v)));
          }
        }
        s += run;
        room -= run;
        if (room == 0) flush();
      }
    }
    flush();
    for (int p = 0; p < kCount; ++p) finish_sums(total[p], counts + p * 64);
  }

  static void tile(const uint8_t* const* bits, int32_t kernel, int32_t words, const uint8_t* block, int pixels,
                   int32_t channels, int32_t* counts) {
    const size_t group_bytes = static_cast<size_t>(kernel) * kernel * words * 128;
    for (int32_t c = 0; c < channels; c += 8, block += group_bytes) {
      if (pixels == 2)
        sums<2>(bits, kernel, words, block, counts + c);
      else
        sums<1>(bits, kernel, words, block, counts + c);
    }
  }
};

}  // namespace
}  // namespace avx2
}  // namespace bitsr

#include "row_kernels_impl.h"

namespace bitsr {
const RowKernels* avx2_kernels() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &avx2::kKernels : nullptr;
}
}  // namespace bitsr
