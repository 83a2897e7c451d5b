// AVX-512 kernels (F, BW, VL, VNNI, VPOPCNTDQ): one 32-bit lane per output channel.
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of the undefined operands of its own intrinsics.
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#define BITSR_ISA avx512
#include <cstring>

#include "cpu_x86.h"
#include "lanes_avx512.h"
#include "row_kernels.h"

namespace bitsr {
namespace avx512 {
namespace {

struct Popcount {
  static constexpr int32_t kWordBytes = 8;    // of 64 channels of a pixel
  static constexpr int32_t kWeightBytes = 8;  // of 64 weights
  static constexpr int kPixels = 6;
  static constexpr int kGatePixels = 8;

  static void store_word(uint8_t* bits, uint64_t value) { memcpy(bits, &value, 8); }

  // 1x1: a block is [half word][channel]. 3x3: [kernel row][half word][parity, tap 0, tap 1][channel], where parity is
  // the XOR of the row's three taps. See row_of_3.
  static void store_weight(uint8_t* block, int32_t kernel_size, int32_t words, int32_t channels, int32_t step,
                           int32_t channel, uint64_t value) {
    const int32_t tap = step / words, word = step % words;
    for (int h = 0; h < 2; ++h) {
      const auto half = static_cast<uint32_t>(value >> (32 * h));
      const size_t group = static_cast<size_t>(tap / kernel_size * words + word) * 2 + h;
      if (kernel_size == 1) {
        xor_into(block + (group * channels + channel) * 4, half);
        continue;
      }
      uint8_t* at = block + (group * 3 * channels + channel) * 4;
      xor_into(at, half);
      if (tap % kernel_size < 2) xor_into(at + static_cast<size_t>(channels) * 4 * (1 + tap % kernel_size), half);
    }
  }

  static void xor_into(uint8_t* at, uint32_t bits) {
    uint32_t old;
    memcpy(&old, at, 4);
    old ^= bits;
    memcpy(at, &old, 4);
  }

  static __m512i broadcast(const uint8_t* at) {
    int32_t value;
    memcpy(&value, at, 4);
    return _mm512_set1_epi32(value);
  }

  static __m512i load(const uint8_t* at) { return _mm512_loadu_si512(at); }

  // Broadcasts 32 bits of a pixel against 32 bits of every channel: three instructions for 512 multiply-accumulates.
  template <int kCount, int kVectors>
  static inline __attribute__((always_inline)) void sums_1x1(const uint8_t* a, int32_t words, const uint8_t* w,
                                                             int32_t* counts) {
    __m512i acc[kCount][kVectors];
    for (int p = 0; p < kCount; ++p)
      for (int j = 0; j < kVectors; ++j) acc[p][j] = _mm512_setzero_si512();
    const int32_t pixel_step = 8 * words;
    for (int32_t s = 0; s < 2 * words; ++s, a += 4, w += 64 * kVectors)
#pragma GCC unroll 8
      for (int p = 0; p < kCount; ++p) {
        const __m512i x = broadcast(a + p * pixel_step);
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j)
          acc[p][j] = _mm512_add_epi32(acc[p][j], _mm512_popcnt_epi32(_mm512_xor_si512(x, load(w + 64 * j))));
      }
    for (int p = 0; p < kCount; ++p)
      for (int j = 0; j < kVectors; ++j) _mm512_store_si512(counts + p * kBlockChannels + j * 16, acc[p][j]);
  }

  // A full adder over the three taps d0, d1, d2 of a kernel row, d = pixel xor weight: its sum is the parity of the
  // pixels xor the parity of the weights, so d2 is never formed, and two words are counted where there were three.
  static constexpr int kMajority = 0x8e;  // the carry from (sum, d0, d1): d0 where d0 = d1, else not the sum
  template <int kCount, int kVectors>
  static inline __attribute__((always_inline)) void sums_3x3(const uint8_t* const* bits, int32_t words,
                                                             const uint8_t* w, int32_t* counts) {
    __m512i ones[kCount][kVectors], twos[kCount][kVectors];
    for (int p = 0; p < kCount; ++p)
      for (int j = 0; j < kVectors; ++j) ones[p][j] = twos[p][j] = _mm512_setzero_si512();
    const int32_t pixel_step = 8 * words;
    for (int k = 0; k < 3; ++k) {
      const uint8_t* a = bits[k];
      for (int32_t word = 0; word < words; ++word, a += 8) {
        uint64_t parity[kCount];
        for (int p = 0; p < kCount; ++p) {
          uint64_t taps[3];
          for (int t = 0; t < 3; ++t) memcpy(&taps[t], a + (p + t) * pixel_step, 8);
          parity[p] = taps[0] ^ taps[1] ^ taps[2];
        }
        // In memory: a broadcast from there is free, one from a general register takes the port that counts bits.
        asm volatile("" : "+m"(parity));
        for (int h = 0; h < 2; ++h, w += 192 * kVectors)
#pragma GCC unroll 3
          for (int p = 0; p < kCount; ++p) {
            const __m512i x = broadcast(reinterpret_cast<const uint8_t*>(&parity[p]) + 4 * h);
            const __m512i x0 = broadcast(a + p * pixel_step + 4 * h), x1 = broadcast(a + (p + 1) * pixel_step + 4 * h);
#pragma GCC unroll 4
            for (int j = 0; j < kVectors; ++j) {
              const __m512i sum = _mm512_xor_si512(x, load(w + 64 * j));
              const __m512i d0 = _mm512_xor_si512(x0, load(w + 64 * (kVectors + j)));
              const __m512i d1 = _mm512_xor_si512(x1, load(w + 64 * (2 * kVectors + j)));
              const __m512i carry = _mm512_ternarylogic_epi32(sum, d0, d1, kMajority);
              ones[p][j] = _mm512_add_epi32(ones[p][j], _mm512_popcnt_epi32(sum));
              twos[p][j] = _mm512_add_epi32(twos[p][j], _mm512_popcnt_epi32(carry));
            }
          }
      }
    }
    for (int p = 0; p < kCount; ++p)
      for (int j = 0; j < kVectors; ++j)
        _mm512_store_si512(counts + p * kBlockChannels + j * 16,
                           _mm512_add_epi32(ones[p][j], _mm512_add_epi32(twos[p][j], twos[p][j])));
  }

  template <int kCount, int kVectors>
  static inline __attribute__((always_inline)) void sums(const uint8_t* const* bits, int32_t kernel_size, int32_t words,
                                                         const uint8_t* block, int32_t* counts) {
    if (kernel_size == 1)
      sums_1x1<kCount, kVectors>(bits[0], words, block, counts);
    else if (words == 1)
      sums_3x3<kCount, kVectors>(bits, 1, block, counts);
    else
      sums_3x3<kCount, kVectors>(bits, words, block, counts);
  }

  template <int kVectors>
  static void tile_of(const uint8_t* const* bits, int32_t kernel_size, int32_t words, const uint8_t* block, int pixels,
                      int32_t* counts) {
    const uint8_t* at[3] = {};
    for (int p = 0; p < pixels;) {
      for (int32_t k = 0; k < kernel_size; ++k) at[k] = bits[k] + static_cast<size_t>(p) * words * 8;
      if (pixels - p >= 3) {
        sums<3, kVectors>(at, kernel_size, words, block, counts + p * kBlockChannels);
        p += 3;
      } else {
        sums<1, kVectors>(at, kernel_size, words, block, counts + p * kBlockChannels);
        p += 1;
      }
    }
  }

  // counts[pixel][64]: differing bits of every pixel and channel over all taps.
  static void tile(const uint8_t* const* bits, int32_t kernel_size, int32_t words, const uint8_t* block, int pixels,
                   int32_t channels, int32_t* counts) {
    switch (channels / 16) {
      case 1:
        tile_of<1>(bits, kernel_size, words, block, pixels, counts);
        break;
      case 2:
        tile_of<2>(bits, kernel_size, words, block, pixels, counts);
        break;
      case 3:
        tile_of<3>(bits, kernel_size, words, block, pixels, counts);
        break;
      default:
        tile_of<4>(bits, kernel_size, words, block, pixels, counts);
        break;
    }
  }
};

}  // namespace
}  // namespace avx512
}  // namespace bitsr

#include "row_kernels.inc"
// row_kernels.inc has the other form of these functions, for weights of 16 bits.
#include "quantized_bytes.h"

namespace bitsr {
namespace avx512 {
namespace {

constexpr RowKernels kAllKernels = with_quantized<QuantizedBytes>(kKernels);

}  // namespace
}  // namespace avx512

const RowKernels* avx512_kernels() { return x86_features().avx512 ? &avx512::kAllKernels : nullptr; }
}  // namespace bitsr
