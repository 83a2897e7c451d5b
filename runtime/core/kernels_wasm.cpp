// WebAssembly kernels (simd128): xor, popcnt of bytes and their sums, two output channels a register.
#define BITSR_ISA wasm
#include <cstring>

#include "lanes_wasm.h"

namespace bitsr {
namespace wasm {
namespace {

struct Popcount {
  static constexpr int32_t kWordBytes =
      16;  // of 64 channels of a pixel: the word twice, so that a plain load spreads it
  static constexpr int32_t kWeightBytes = 8;  // of 64 weights
  static constexpr int kPixels = 2;           // 2 pixels x 4 registers of sums
  static constexpr int kGatePixels = 1;
  // A byte of a sum grows by at most 8 a step.
  static constexpr int32_t kStepsPerFlush = 31;
  static_assert(kStepsPerFlush * 8 <= 255, "a byte of the sums must not overflow");

  static void store_word(uint8_t* bits, uint64_t value) {
    wasm_v128_store(bits, wasm_i64x2_splat(static_cast<int64_t>(value)));
  }

  // A block is [group of 8 channels][step][channel] words.
  static void store_weight(uint8_t* block, int32_t kernel_size, int32_t words, int32_t /*channels*/, int32_t step,
                           int32_t channel, uint64_t value) {
    const int32_t steps = kernel_size * kernel_size * words;
    memcpy(block + ((static_cast<size_t>(channel / 8) * steps + step) * 8 + channel % 8) * 8, &value, 8);
  }

  // Sums of four times eight bytes: two registers, each of the bytes of two channels.
  static v128_t sums_of_four(v128_t first, v128_t second) {
    const v128_t a = wasm_u32x4_extadd_pairwise_u16x8(wasm_u16x8_extadd_pairwise_u8x16(first));
    const v128_t b = wasm_u32x4_extadd_pairwise_u16x8(wasm_u16x8_extadd_pairwise_u8x16(second));
    return wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6), wasm_i32x4_shuffle(a, b, 1, 3, 5, 7));
  }

  // counts of kCount pixels and 8 channels: differing bits over all taps.
  template <int kCount>
  static void group(const uint8_t* const* bits, int32_t kernel_size, int32_t words, const uint8_t* w, int32_t* counts) {
    const int32_t row_steps = kernel_size * words;
    const size_t pixel_step = static_cast<size_t>(kWordBytes) * words;
    const v128_t zero = wasm_i32x4_splat(0);
    v128_t total[kCount][2], acc[kCount][4];
    for (int p = 0; p < kCount; ++p) total[p][0] = total[p][1] = zero;
    const auto clear = [&] {
      for (int p = 0; p < kCount; ++p)
        for (int j = 0; j < 4; ++j) acc[p][j] = zero;
    };
    const auto flush = [&] {
      for (int p = 0; p < kCount; ++p)
        for (int half = 0; half < 2; ++half)
          total[p][half] = wasm_i32x4_add(total[p][half], sums_of_four(acc[p][2 * half], acc[p][2 * half + 1]));
      clear();
    };
    clear();
    int32_t room = kStepsPerFlush;
    for (int32_t k = 0; k < kernel_size; ++k) {
      const uint8_t* a = bits[k];
      for (int32_t s = 0; s < row_steps; ++s, a += kWordBytes, w += 64) {
        v128_t x[kCount];
        for (int p = 0; p < kCount; ++p) x[p] = wasm_v128_load(a + p * pixel_step);
        for (int j = 0; j < 4; ++j) {
          const v128_t weights = wasm_v128_load(w + 16 * j);
          for (int p = 0; p < kCount; ++p)
            acc[p][j] = wasm_i8x16_add(acc[p][j], wasm_i8x16_popcnt(wasm_v128_xor(x[p], weights)));
        }
        if (--room > 0) continue;
        flush();
        room = kStepsPerFlush;
      }
    }
    flush();
    for (int p = 0; p < kCount; ++p)
      for (int half = 0; half < 2; ++half) wasm_v128_store(counts + p * 64 + 4 * half, total[p][half]);
  }

  // counts[pixel][64].
  static void tile(const uint8_t* const* bits, int32_t kernel_size, int32_t words, const uint8_t* block, int pixels,
                   int32_t channels, int32_t* counts) {
    const size_t group_bytes = static_cast<size_t>(kernel_size) * kernel_size * words * 64;
    for (int32_t c = 0; c < channels; c += 8, block += group_bytes) {
      if (pixels == kPixels)
        group<kPixels>(bits, kernel_size, words, block, counts + c);
      else
        group<1>(bits, kernel_size, words, block, counts + c);
    }
  }
};

static_assert(Popcount::kPixels == 2, "tile() knows whole tiles and single pixels");

}  // namespace
}  // namespace wasm
}  // namespace bitsr

#include "row_kernels.inc"

namespace bitsr {
const RowKernels* wasm_kernels() { return &wasm::kKernels; }
}  // namespace bitsr
