// NEON kernels with dot products of bytes (FEAT_DotProd): bits counted by a full adder, integers split into bytes.
#define BITSR_ISA dotprod
#include <cstring>

#include "cpu_arm.h"
#include "lanes_neon.h"
#include "row_kernels.h"

namespace bitsr {
namespace dotprod {
namespace {

struct Popcount {
  // Of 64 channels of a pixel: the word twice, so that a plain load spreads it.
  static constexpr int32_t kWordBytes = 16;
  static constexpr int32_t kWeightBytes = 8;  // of 64 weights
  static constexpr int kPixels = 4;           // 4 pixels x 4 registers of sums
  static constexpr int kGatePixels = 2;
  static constexpr int32_t kGroup = 8;  // output channels: two a register
  // Words of a pixel whose parities are made at once: they stay in the L1 cache.
  static constexpr int32_t kChunk = 8;
  static constexpr int32_t kParts = 3;  // that three words are turned into

  static void store_word(uint8_t* bits, uint64_t value) {
    vst1q_u64(reinterpret_cast<uint64_t*>(bits), vdupq_n_u64(value));
  }

  // 1x1: a block is [group][word][channel]. 3x3: [chunk of words][group][kernel row][word][part][channel], where the
  // parts of a row's taps w0, w1, w2 are not (w0 xor w1 xor w2), w0, and w0 xor w1.
  static void store_weight(uint8_t* block, int32_t kernel_size, int32_t words, int32_t channels, int32_t step,
                           int32_t channel, uint64_t value) {
    const int32_t tap = step / words, word = step % words, group = channel / kGroup;
    const size_t lane = static_cast<size_t>(channel % kGroup) * 8;
    if (kernel_size == 1) {
      memcpy(block + (static_cast<size_t>(group) * words + word) * 64 + lane, &value, 8);
      return;
    }
    const int32_t first = word / kChunk * kChunk, count = words - first < kChunk ? words - first : kChunk;
    const size_t steps_before = static_cast<size_t>(3) * (first * (channels / kGroup) + group * count);
    const size_t in_group = static_cast<size_t>(tap / 3 * count + word - first);
    uint8_t* at = block + (steps_before + in_group) * kParts * 64 + lane;
    const int32_t column = tap % 3;
    xor_into(at, column == 0 ? ~value : value);
    if (column == 0) xor_into(at + 64, value);
    if (column < 2) xor_into(at + 128, value);
  }

  static void xor_into(uint8_t* at, uint64_t bits) {
    uint64_t old;
    memcpy(&old, at, 8);
    old ^= bits;
    memcpy(at, &old, 8);
  }

  static uint8x16_t load(const uint8_t* at) { return vld1q_u8(at); }

  // The sums of two channels lie in two lanes each.
  template <bool kAdd>
  static void store(const int32x4_t* acc, int32_t* counts) {
    for (int half = 0; half < 2; ++half) {
      int32x4_t sums = vpaddq_s32(acc[2 * half], acc[2 * half + 1]);
      if (kAdd) sums = vaddq_s32(sums, vld1q_s32(counts + 4 * half));
      vst1q_s32(counts + 4 * half, sums);
    }
  }

  template <int kCount>
  static void sums_1x1(const uint8_t* bits, int32_t words, const uint8_t* block, int32_t channels, int32_t* counts) {
    const uint8x16_t one = vdupq_n_u8(1);
    for (int32_t c = 0; c < channels; c += kGroup) {
      uint32x4_t acc[kCount][4];
      for (int p = 0; p < kCount; ++p)
        for (int j = 0; j < 4; ++j) acc[p][j] = vdupq_n_u32(0);
      for (int32_t word = 0; word < words; ++word, block += 64) {
        uint8x16_t w[4];
        for (int j = 0; j < 4; ++j) w[j] = load(block + 16 * j);
        for (int p = 0; p < kCount; ++p) {
          const uint8x16_t x = load(bits + (static_cast<size_t>(p) * words + word) * kWordBytes);
          for (int j = 0; j < 4; ++j) acc[p][j] = vdotq_u32(acc[p][j], vcntq_u8(veorq_u8(x, w[j])), one);
        }
      }
      for (int p = 0; p < kCount; ++p) {
        int32x4_t sums[4];
        for (int j = 0; j < 4; ++j) sums[j] = vreinterpretq_s32_u32(acc[p][j]);
        store<false>(sums, counts + p * kBlockChannels + c);
      }
    }
  }

  // [kernel row][word][pixel][part]: what the weights' parts are compared with, of the words from `first` on.
  template <int kCount>
  static void make_parts(const uint8_t* const* bits, int32_t words, int32_t first, int32_t count, uint8_t* parts) {
    const size_t pixel = static_cast<size_t>(words) * kWordBytes;
    for (int k = 0; k < 3; ++k)
      for (int32_t word = first; word < first + count; ++word)
        for (int p = 0; p < kCount; ++p, parts += 16 * kParts) {
          const uint8_t* at = bits[k] + p * pixel + static_cast<size_t>(word) * kWordBytes;
          const uint8x16_t x0 = load(at), x01 = veorq_u8(x0, load(at + pixel));
          vst1q_u8(parts, veorq_u8(x01, load(at + 2 * pixel)));
          vst1q_u8(parts + 16, x0);
          vst1q_u8(parts + 32, x01);
        }
  }

  // A full adder over d0, d1, d2 of a kernel row, d = pixel xor weight: two words are counted where there were three.
  // Their parity is that of the pixels xor that of the weights; the carry is d0 where d0 = d1, else not the parity.
  // A sum is 64 a step, less the bits of (not parity), plus twice those of the carry.
  template <int kCount, bool kAdd>
  static void sums_3x3(const uint8_t* parts, int32_t steps, const uint8_t* w, int32_t* counts) {
    int8x16_t factors = vreinterpretq_s8_u64(vdupq_n_u64(0x02020202ffffffffu));
    // Else the compiler, which knows its lanes, keeps a register for each.
    asm volatile("" : "+w"(factors));
    int32x4_t acc[kCount][4];
    for (int p = 0; p < kCount; ++p)
      for (int j = 0; j < 4; ++j) acc[p][j] = vdupq_n_s32(32 * steps);
    for (int32_t s = 0; s < steps; ++s, parts += kCount * 16 * kParts, w += 64 * kParts)
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        uint8x16_t v[kParts][2];
        for (int part = 0; part < kParts; ++part)
          for (int j = 0; j < 2; ++j) v[part][j] = load(w + 64 * part + 32 * half + 16 * j);
#pragma GCC unroll 4
        for (int p = 0; p < kCount; ++p) {
          const uint8_t* at = parts + p * 16 * kParts;
          // One pixel after the other: else the compiler keeps the parts of several, and has no registers for the sums.
          asm volatile("" ::: "memory");
          const uint8x16_t parity = load(at), x0 = load(at + 16), x01 = load(at + 32);
#pragma GCC unroll 2
          for (int j = 0; j < 2; ++j) {
            int32x4_t* sum = &acc[p][2 * half + j];
            const uint8x16_t same = veorq_u8(parity, v[0][j]);
            const uint8x16_t carry = vbslq_u8(veorq_u8(x01, v[2][j]), same, veorq_u8(x0, v[1][j]));
            *sum = vdotq_laneq_s32(*sum, vreinterpretq_s8_u8(vcntq_u8(same)), factors, 0);
            *sum = vdotq_laneq_s32(*sum, vreinterpretq_s8_u8(vcntq_u8(carry)), factors, 1);
          }
          asm volatile("" : "+w"(acc[p][2 * half]), "+w"(acc[p][2 * half + 1]));
        }
      }
    for (int p = 0; p < kCount; ++p) store<kAdd>(acc[p], counts + p * kBlockChannels);
  }

  template <int kCount>
  static void tile_of(const uint8_t* const* bits, int32_t kernel_size, int32_t words, const uint8_t* block,
                      int32_t channels, int32_t* counts) {
    if (kernel_size == 1) {
      sums_1x1<kCount>(bits[0], words, block, channels, counts);
      return;
    }
    alignas(16) uint8_t parts[3 * kChunk * kCount * kParts * 16];
    for (int32_t first = 0; first < words; first += kChunk) {
      const int32_t count = words - first < kChunk ? words - first : kChunk, steps = 3 * count;
      make_parts<kCount>(bits, words, first, count, parts);
      for (int32_t c = 0; c < channels; c += kGroup, block += static_cast<size_t>(steps) * kParts * 64)
        if (first == 0)
          sums_3x3<kCount, false>(parts, steps, block, counts + c);
        else
          sums_3x3<kCount, true>(parts, steps, block, counts + c);
    }
  }

  // counts[pixel][64]: differing bits of every pixel and channel over all taps.
  static void tile(const uint8_t* const* bits, int32_t kernel_size, int32_t words, const uint8_t* block, int pixels,
                   int32_t channels, int32_t* counts) {
    if (pixels == kPixels) {
      tile_of<kPixels>(bits, kernel_size, words, block, channels, counts);
      return;
    }
    const uint8_t* rest[3] = {};
    for (int p = 0; p < pixels; ++p) {
      for (int32_t k = 0; k < kernel_size; ++k) rest[k] = bits[k] + static_cast<size_t>(p) * words * kWordBytes;
      tile_of<1>(rest, kernel_size, words, block, channels, counts + p * kBlockChannels);
    }
  }
};

}  // namespace
}  // namespace dotprod
}  // namespace bitsr

#include "row_kernels.inc"
// row_kernels.inc has the other form of these functions, for layers that dot products of bytes do not fit.
#include "quantized_dot.h"

namespace bitsr {
namespace dotprod {
namespace {

constexpr RowKernels kAllKernels = with_quantized<QuantizedDot>(kKernels);

}  // namespace
}  // namespace dotprod

const RowKernels* dotprod_kernels() { return arm_features().dot_product ? &dotprod::kAllKernels : nullptr; }
}  // namespace bitsr
