// Plain C++ kernels: every processor, and the twin that the others are compared with.
#define BITSR_ISA portable
#include "lanes_portable.h"

namespace bitsr {
namespace portable {
namespace {

struct Popcount {
  static constexpr int32_t kWordBytes = 8;    // of 64 channels of a pixel
  static constexpr int32_t kWeightBytes = 8;  // of 64 weights
  static constexpr int kPixels = 4;
  static constexpr int kGatePixels = 2;

  static void store_word(uint8_t* bits, uint64_t value) { memcpy(bits, &value, 8); }

  // A block is [channel][step] words.
  static void store_weight(uint8_t* block, int32_t kernel_size, int32_t words, int32_t /*channels*/, int32_t step,
                           int32_t channel, uint64_t value) {
    const int32_t steps = kernel_size * kernel_size * words;
    memcpy(block + (static_cast<size_t>(channel) * steps + step) * 8, &value, 8);
  }

  // counts[pixel][64]: differing bits of every pixel and channel over all taps.
  static void tile(const uint8_t* const* bits, int32_t kernel_size, int32_t words, const uint8_t* block, int pixels,
                   int32_t channels, int32_t* counts) {
    const int32_t row_steps = kernel_size * words;
    for (int p = 0; p < pixels; ++p)
      for (int32_t o = 0; o < channels; ++o) {
        const uint8_t* w = block + static_cast<size_t>(o) * kernel_size * row_steps * 8;
        int32_t count = 0;
        for (int32_t k = 0; k < kernel_size; ++k)
          for (int32_t s = 0; s < row_steps; ++s, w += 8) {
            uint64_t a, b;
            memcpy(&a, bits[k] + (static_cast<size_t>(p) * words + s) * 8, 8);
            memcpy(&b, w, 8);
            count += __builtin_popcountll(a ^ b);
          }
        counts[p * 64 + o] = count;
      }
  }
};

}  // namespace
}  // namespace portable
}  // namespace bitsr

#include "row_kernels.inc"

namespace bitsr {
const RowKernels* portable_kernels() { return &portable::kKernels; }
}  // namespace bitsr
