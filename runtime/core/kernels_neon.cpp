// NEON kernels (aarch64): eor, cnt and byte sums, two output channels a register.
#define BITSR_ISA neon
#include <cstring>

#include "lanes_neon.h"

namespace bitsr {
namespace neon {
namespace {

struct Popcount {
  static constexpr int32_t kWordBytes =
      16;  // of 64 channels of a pixel: the word twice, so that a plain load spreads it
  static constexpr int32_t kWeightBytes = 8;  // of 64 weights
  static constexpr int kPixels = 4;           // 4 pixels x 4 registers of sums, 4 of weights
  static constexpr int kGatePixels = 2;
  // A byte of a sum grows by at most 8 a step; flush() adds two bytes in a byte.
  static constexpr int32_t kStepsPerFlush = 15;
  static constexpr int32_t kFlushesPerDrain = 68;
  static_assert(2 * kStepsPerFlush * 8 <= 255, "a byte of the sums must not overflow");
  static_assert(kFlushesPerDrain * kStepsPerFlush * 64 <= 65535, "a 16-bit sum must not overflow");

  static void store_word(uint8_t* bits, uint64_t value) {
    vst1q_u64(reinterpret_cast<uint64_t*>(bits), vdupq_n_u64(value));
  }

  // A block is [group of 8 channels][step][channel] words.
  static void store_weight(uint8_t* block, int32_t kernel_size, int32_t words, int32_t /*channels*/, int32_t step,
                           int32_t channel, uint64_t value) {
    const int32_t steps = kernel_size * kernel_size * words;
    memcpy(block + ((static_cast<size_t>(channel / 8) * steps + step) * 8 + channel % 8) * 8, &value, 8);
  }

  // The sums of 8 channels; acc[j] holds 8 bytes of channel 2j, then 8 of channel 2j+1.
  static uint16x8_t flush(const uint8x16_t* acc) {
    const uint16x8_t low = vpaddlq_u8(vpaddq_u8(acc[0], acc[1])), high = vpaddlq_u8(vpaddq_u8(acc[2], acc[3]));
    return vpaddq_u16(low, high);
  }

  // Adds `steps` neighbouring words of kCount pixels to the sums of 8 channels.
  template <int kCount>
  static inline __attribute__((always_inline)) void add_steps(const uint8_t* a, size_t pixel_step, const uint8_t* w,
                                                              int32_t steps, uint8x16_t (*acc)[4]) {
    for (int32_t i = 0; i < steps; ++i, a += kWordBytes, w += 64) {
      uint8x16_t v[4];
      for (int j = 0; j < 4; ++j) v[j] = vld1q_u8(w + 16 * j);
      for (int p = 0; p < kCount; ++p) {
        const uint8x16_t x = vld1q_u8(a + p * pixel_step);
        for (int j = 0; j < 4; ++j) acc[p][j] = vaddq_u8(acc[p][j], vcntq_u8(veorq_u8(x, v[j])));
      }
    }
  }

  static void add_counts(uint16x8_t total, int32_t* counts) {
    vst1q_s32(counts, vaddq_s32(vld1q_s32(counts), vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(total)))));
    vst1q_s32(counts + 4, vaddq_s32(vld1q_s32(counts + 4), vreinterpretq_s32_u32(vmovl_high_u16(total))));
  }

  // Any number of steps.
  template <int kCount>
  static void sums(const uint8_t* const* bits, int32_t kernel_size, int32_t words, const uint8_t* w, int32_t* counts) {
    const int32_t row_steps = kernel_size * words;
    uint16x8_t total[kCount];
    uint8x16_t acc[kCount][4];
    for (int p = 0; p < kCount; ++p) {
      total[p] = vdupq_n_u16(0);
      for (int j = 0; j < 4; ++j) acc[p][j] = vdupq_n_u8(0);
      for (int j = 0; j < 2; ++j) vst1q_s32(counts + p * 64 + 4 * j, vdupq_n_s32(0));
    }
    int32_t room = kStepsPerFlush, flushes = 0;
    const auto flush_all = [&] {
      for (int p = 0; p < kCount; ++p) {
        total[p] = vaddq_u16(total[p], flush(acc[p]));
        for (int j = 0; j < 4; ++j) acc[p][j] = vdupq_n_u8(0);
      }
      room = kStepsPerFlush;
    };
    const auto drain = [&] {
      for (int p = 0; p < kCount; ++p) {
        add_counts(total[p], counts + p * 64);
        total[p] = vdupq_n_u16(0);
      }
      flushes = 0;
    };
    for (int32_t k = 0; k < kernel_size; ++k) {
      for (int32_t s = 0; s < row_steps;) {
        const int32_t run = row_steps - s < room ? row_steps - s : room;
        add_steps<kCount>(bits[k] + static_cast<size_t>(s) * kWordBytes, static_cast<size_t>(kWordBytes) * words, w,
                          run, acc);
        w += static_cast<size_t>(run) * 64;
        s += run;
        room -= run;
        if (room > 0) continue;
        flush_all();
        if (++flushes == kFlushesPerDrain) drain();
      }
    }
    flush_all();
    drain();
  }

  // At most kStepsPerFlush steps over all rows: up to 64 channels of 3x3, 960 of 1x1.
  template <int kCount>
  static void sums_of_few(const uint8_t* const* bits, int32_t kernel_size, int32_t words, const uint8_t* w,
                          int32_t* counts) {
    const int32_t row_steps = kernel_size * words;
    uint8x16_t acc[kCount][4];
    for (int p = 0; p < kCount; ++p)
      for (int j = 0; j < 4; ++j) acc[p][j] = vdupq_n_u8(0);
    for (int32_t k = 0; k < kernel_size; ++k, w += static_cast<size_t>(row_steps) * 64)
      add_steps<kCount>(bits[k], static_cast<size_t>(kWordBytes) * words, w, row_steps, acc);
    for (int p = 0; p < kCount; ++p) {
      const uint16x8_t total = flush(acc[p]);
      vst1q_s32(counts + p * 64, vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(total))));
      vst1q_s32(counts + p * 64 + 4, vreinterpretq_s32_u32(vmovl_high_u16(total)));
    }
  }

  template <int kCount>
  static void groups(const uint8_t* const* bits, int32_t kernel_size, int32_t words, const uint8_t* block,
                     int32_t channels, int32_t* counts) {
    const int32_t steps = kernel_size * kernel_size * words;
    for (int32_t c = 0; c < channels; c += 8, block += static_cast<size_t>(steps) * 64) {
      if (steps <= kStepsPerFlush)
        sums_of_few<kCount>(bits, kernel_size, words, block, counts + c);
      else
        sums<kCount>(bits, kernel_size, words, block, counts + c);
    }
  }

  // counts[pixel][64]: differing bits of every pixel and channel over all taps.
  static void tile(const uint8_t* const* bits, int32_t kernel_size, int32_t words, const uint8_t* block, int pixels,
                   int32_t channels, int32_t* counts) {
    if (pixels == kPixels) {
      groups<kPixels>(bits, kernel_size, words, block, channels, counts);
      return;
    }
    const uint8_t* rest[3] = {};
    for (int p = 0; p < pixels; ++p) {
      for (int32_t k = 0; k < kernel_size; ++k) rest[k] = bits[k] + static_cast<size_t>(p) * words * kWordBytes;
      groups<1>(rest, kernel_size, words, block, channels, counts + p * 64);
    }
  }
};

}  // namespace
}  // namespace neon
}  // namespace bitsr

#include "row_kernels.inc"

namespace bitsr {
const RowKernels* neon_kernels() { return &neon::kKernels; }
}  // namespace bitsr
