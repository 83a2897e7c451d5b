// AVX2 kernels: one output channel a byte. Four bits of a pixel choose one of 16 tables, table[a][w] = popcount(a ^ w),
// and one byte shuffle looks up the four weight bits of 32 channels in it: two instructions for 128
// multiply-accumulates.
#define BITSR_ISA avx2
#include "cpu_x86.h"
#include "lanes_avx2.h"
#include "row_kernels.h"

namespace bitsr {
namespace avx2 {
namespace {

// table[a][w] = popcount(a ^ w) for four bits each.
struct Tables {
  alignas(64) uint8_t rows[16][16];
};

constexpr Tables make_tables() {
  Tables tables = {};
  for (int a = 0; a < 16; ++a)
    for (int w = 0; w < 16; ++w) {
      const int bits = a ^ w;
      tables.rows[a][w] = static_cast<uint8_t>((bits & 1) + (bits >> 1 & 1) + (bits >> 2 & 1) + (bits >> 3));
    }
  return tables;
}

constexpr Tables kTables = make_tables();

struct Popcount {
  static constexpr int32_t kWordBytes = 16;    // of 64 channels of a pixel
  static constexpr int32_t kWeightBytes = 16;  // of 64 weights
  static constexpr int kPixels = 4;            // 4 pixels x 2 vectors of sums, 2 of weights, one table
  static constexpr int kGatePixels = 2;
  static constexpr int kNibbles = 16;  // of a word
  // A byte of a sum grows by at most 4 a nibble, a 16-bit sum by what the bytes held.
  static constexpr int32_t kWordsPerFlush = 3;
  static constexpr int32_t kFlushesPerDrain = 341;
  static_assert(kWordsPerFlush * kNibbles * 4 <= 255, "a byte of the sums must not overflow");
  static_assert(kFlushesPerDrain * kWordsPerFlush * kNibbles * 4 <= 65535, "a 16-bit sum must not overflow");

  // A pixel's word is 16 bytes: the offsets of the tables of its nibbles.
  static void store_word(uint8_t* bits, uint64_t value) {
    const __m128i v = _mm_cvtsi64_si128(static_cast<int64_t>(value)), mask = _mm_set1_epi8(static_cast<char>(0xf0));
    const __m128i low = _mm_and_si128(_mm_slli_epi64(v, 4), mask), high = _mm_and_si128(v, mask);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(bits), _mm_unpacklo_epi8(low, high));
  }

  // A block is [step][nibble][channel] bytes.
  static void store_weight(uint8_t* block, int32_t /*kernel_size*/, int32_t /*words*/, int32_t channels, int32_t step,
                           int32_t channel, uint64_t value) {
    for (int n = 0; n < kNibbles; ++n)
      block[(static_cast<size_t>(step) * kNibbles + n) * channels + channel] =
          static_cast<uint8_t>(value >> (4 * n) & 15);
  }

  // Puts 32 16-bit sums, the even channels in `even`, into `counts`, or adds them; `half`: only the first 16.
  static inline __attribute__((always_inline)) void drain(__m256i even, __m256i odd, bool half, bool add,
                                                          int32_t* counts) {
    const __m256i a = _mm256_unpacklo_epi16(even, odd), b = _mm256_unpackhi_epi16(even, odd);  // 0-7 16-23 | 8-15 24-31
    const __m128i quarters[4] = {_mm256_castsi256_si128(a), _mm256_castsi256_si128(b), _mm256_extracti128_si256(a, 1),
                                 _mm256_extracti128_si256(b, 1)};
    for (int i = 0; i < (half ? 2 : 4); ++i) {
      auto* at = reinterpret_cast<__m256i*>(counts + 8 * i);
      const __m256i sums = _mm256_cvtepu16_epi32(quarters[i]);
      _mm256_storeu_si256(at, add ? _mm256_add_epi32(_mm256_loadu_si256(at), sums) : sums);
    }
  }

  template <int kCount, int kChannels>
  static inline __attribute__((always_inline)) void sums(const uint8_t* const* bits, int32_t kernel_size, int32_t words,
                                                         const uint8_t* w, int32_t* counts) {
    constexpr int kVectors = (kChannels + 31) / 32;
    const __m256i low = _mm256_set1_epi16(255);
    const auto* tables = &kTables.rows[0][0];
    const int32_t row_steps = kernel_size * words;
    const size_t pixel_step = static_cast<size_t>(16) * words;
    __m256i even[kCount][kVectors], odd[kCount][kVectors], acc[kCount][kVectors];
    for (int p = 0; p < kCount; ++p)
      for (int j = 0; j < kVectors; ++j) even[p][j] = odd[p][j] = acc[p][j] = _mm256_setzero_si256();
    bool drained = false;
    const auto drain_all = [&](bool add) __attribute__((always_inline)) {
      for (int p = 0; p < kCount; ++p)
        for (int j = 0; j < kVectors; ++j)
          drain(even[p][j], odd[p][j], 32 * (j + 1) > kChannels, add, counts + p * kBlockChannels + 32 * j);
    };
    int32_t flushes = 0;
    for (int32_t k = 0; k < kernel_size; ++k) {
      const uint8_t* a = bits[k];
      for (int32_t s = 0; s < row_steps;) {
        const int32_t run = row_steps - s < kWordsPerFlush ? row_steps - s : kWordsPerFlush;
// Unrolled, the sums keep their registers; rolled, GCC copies all of them in every turn.
#pragma GCC unroll 16
        for (int32_t i = 0; i < run * kNibbles; ++i, ++a, w += kChannels) {
          __m256i v[kVectors];
          for (int j = 0; j < kVectors; ++j) {
            v[j] = 32 * (j + 1) > kChannels
                       ? _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w + 32 * j)))
                       : _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 32 * j));
            // Else GCC reads it from memory once more for every pixel.
            __asm__("" : "+x"(v[j]));
          }
#pragma GCC unroll 4
          for (int p = 0; p < kCount; ++p) {
            const __m256i table = _mm256_broadcastsi128_si256(
                _mm_load_si128(reinterpret_cast<const __m128i*>(tables + a[static_cast<size_t>(p) * pixel_step])));
#pragma GCC unroll 2
            for (int j = 0; j < kVectors; ++j) acc[p][j] = _mm256_add_epi8(acc[p][j], _mm256_shuffle_epi8(table, v[j]));
          }
        }
        s += run;
        for (int p = 0; p < kCount; ++p)
          for (int j = 0; j < kVectors; ++j) {
            even[p][j] = _mm256_add_epi16(even[p][j], _mm256_and_si256(acc[p][j], low));
            odd[p][j] = _mm256_add_epi16(odd[p][j], _mm256_srli_epi16(acc[p][j], 8));
            acc[p][j] = _mm256_setzero_si256();
          }
        if (++flushes == kFlushesPerDrain) {
          drain_all(drained);
          for (int p = 0; p < kCount; ++p)
            for (int j = 0; j < kVectors; ++j) even[p][j] = odd[p][j] = _mm256_setzero_si256();
          flushes = 0;
          drained = true;
        }
      }
    }
    // Two copies of it: the usual one, of a layer that never was drained, adds nothing and reads no memory.
    if (drained)
      drain_all(true);
    else
      drain_all(false);
  }

  template <int kChannels>
  static void tile_of(const uint8_t* const* bits, int32_t kernel_size, int32_t words, const uint8_t* block, int pixels,
                      int32_t* counts) {
    if (pixels == kPixels) {
      sums<kPixels, kChannels>(bits, kernel_size, words, block, counts);
      return;
    }
    const uint8_t* rest[3] = {};
    for (int p = 0; p < pixels; ++p) {
      for (int32_t k = 0; k < kernel_size; ++k) rest[k] = bits[k] + static_cast<size_t>(p) * words * kWordBytes;
      sums<1, kChannels>(rest, kernel_size, words, block, counts + p * kBlockChannels);
    }
  }

  // counts[pixel][64]: differing bits of every pixel and channel over all taps.
  static void tile(const uint8_t* const* bits, int32_t kernel_size, int32_t words, const uint8_t* block, int pixels,
                   int32_t channels, int32_t* counts) {
    switch (channels / 16) {
      case 1:
        tile_of<16>(bits, kernel_size, words, block, pixels, counts);
        break;
      case 2:
        tile_of<32>(bits, kernel_size, words, block, pixels, counts);
        break;
      case 3:
        tile_of<48>(bits, kernel_size, words, block, pixels, counts);
        break;
      default:
        tile_of<64>(bits, kernel_size, words, block, pixels, counts);
        break;
    }
  }
};

}  // namespace
}  // namespace avx2
}  // namespace bitsr

#include "row_kernels.inc"

namespace bitsr {
const RowKernels* avx2_kernels() { return x86_features().avx2_fma ? &avx2::kKernels : nullptr; }
}  // namespace bitsr
