// NEON kernels (aarch64): eor, cnt and byte sums, two output channels a register.
#define BITSR_ISA neon
#include "lanes_neon.h"

#include <cstring>

namespace bitsr {
namespace neon {
namespace {

struct Popcount {
  static constexpr int32_t kWordBytes = 8;    // of 64 channels of a pixel
  static constexpr int32_t kWeightBytes = 8;  // of 64 weights
  static constexpr int kPixels = 4;  // 4 pixels x 4 registers of sums, 4 of weights
  static constexpr int kGatePixels = 4;
  // A byte of a sum grows by at most 8 a step.
  static constexpr int32_t kStepsPerFlush = 31;
  static_assert(kStepsPerFlush * 8 <= 255, "a byte of the sums must not overflow");

  static void store_word(uint8_t* bits, uint64_t value) { memcpy(bits, &value, 8); }

  // A block is [group of 8 channels][step][channel] words.
  static void store_weight(uint8_t* block, int32_t steps, int32_t /*channels*/, int32_t step, int32_t channel,
                           uint64_t value) {
    memcpy(block + ((static_cast<size_t>(channel / 8) * steps + step) * 8 + channel % 8) * 8, &value, 8);
  }

  template <int kCount>
  static inline __attribute__((always_inline)) void sums(const uint8_t* const* bits, int32_t kernel, int32_t words,
                                                         const uint8_t* w, int32_t* counts) {
    const int32_t row_steps = kernel * words;
    const int32_t pixel_step = 8 * words;
    uint32x4_t total[kCount][2];
    uint8x16_t acc[kCount][4];
    for (int p = 0; p < kCount; ++p) {
      total[p][0] = total[p][1] = vdupq_n_u32(0);
      for (int j = 0; j < 4; ++j) acc[p][j] = vdupq_n_u8(0);
    }
    int32_t room = kStepsPerFlush;
    const auto flush = [&] {
      for (int p = 0; p < kCount; ++p) {
        uint32x4_t halves[4];  // low and high half of channel 2j, then of channel 2j+1
        for (int j = 0; j < 4; ++j) {
          halves[j] = vpaddlq_u16(vpaddlq_u8(acc[p][j]));
          acc[p][j] = vdupq_n_u8(0);
        }
        total[p][0] = vaddq_u32(total[p][0], vpaddq_u32(halves[0], halves[1]));
        total[p][1] = vaddq_u32(total[p][1], vpaddq_u32(halves[2], halves[3]));
      }
      room = kStepsPerFlush;
    };
    for (int32_t k = 0; k < kernel; ++k) {
      const uint8_t* a = bits[k];
      for (int32_t s = 0; s < row_steps;) {
        int32_t run = row_steps - s;
        if (run > room) run = room;
        for (int32_t i = 0; i < run; ++i, a += 8, w += 64) {
          uint8x16_t v[4];
          for (int j = 0; j < 4; ++j) v[j] = vld1q_u8(w + 16 * j);
          for (int p = 0; p < kCount; ++p) {
            const uint8x8_t half = vld1_u8(a + p * pixel_step);
            const uint8x16_t x = vcombine_u8(half, half);
            for (int j = 0; j < 4; ++j) acc[p][j] = vaddq_u8(acc[p][j], vcntq_u8(veorq_u8(x, v[j])));
          }
        }
        s += run;
        room -= run;
        if (room == 0) flush();
      }
    }
    flush();
    for (int p = 0; p < kCount; ++p)
      for (int j = 0; j < 2; ++j) vst1q_s32(counts + p * 64 + 4 * j, vreinterpretq_s32_u32(total[p][j]));
  }

  static void tile(const uint8_t* const* bits, int32_t kernel, int32_t words, const uint8_t* block, int pixels,
                   int32_t channels, int32_t* counts) {
    const size_t group_bytes = static_cast<size_t>(kernel) * kernel * words * 64;
    for (int32_t c = 0; c < channels; c += 8, block += group_bytes) {
      if (pixels == kPixels) {
        sums<kPixels>(bits, kernel, words, block, counts + c);
        continue;
      }
      const uint8_t* rest[3] = {};
      for (int p = 0; p < pixels; ++p) {
        for (int32_t k = 0; k < kernel; ++k) rest[k] = bits[k] + static_cast<size_t>(p) * words * 8;
        sums<1>(rest, kernel, words, block, counts + p * 64 + c);
      }
    }
  }
};

}  // namespace
}  // namespace neon
}  // namespace bitsr

#include "row_kernels_impl.h"

namespace bitsr {
const RowKernels* neon_kernels() { return &neon::kKernels; }
}  // namespace bitsr
