// Sums of quantized_conv2d by products of small matrices of bytes (FEAT_I8MM), in processors since about 2021: two
// pixels by eight numbers times eight numbers by two output channels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitsr {
namespace dotprod {

struct MatrixWeights {
  static constexpr int kChannels = 8;  // output channels of a group
  static constexpr int kOct = 8;       // numbers that an instruction multiplies for a channel

  static int32_t octs_of(int32_t channels, int32_t kernel_size) { return (kernel_size * channels + kOct - 1) / kOct; }
  // Bytes of a group, whose weights have `bytes` each.
  static size_t group_bytes(int32_t channels, int32_t kernel_size, int32_t bytes) {
    return static_cast<size_t>(kernel_size) * octs_of(channels, kernel_size) * bytes * kChannels * kOct;
  }
  // Where weight i of a kernel row has its lower byte: [group][kernel row][oct][two channels][byte][channel][number].
  static size_t place(int32_t channels, int32_t kernel_size, int32_t bytes, int32_t channel, int32_t row, int32_t i) {
    const size_t oct = static_cast<size_t>(row) * octs_of(channels, kernel_size) + i / kOct;
    const int32_t in_group = channel % kChannels;
    return channel / kChannels * group_bytes(channels, kernel_size, bytes) + oct * bytes * kChannels * kOct +
           static_cast<size_t>(in_group / 2 * bytes * 2 + in_group % 2) * kOct + i % kOct;
  }
};

// Levels of a strip of pixels, split into bytes (quantized_dot.h), and where the sums go.
struct MatrixStrip {
  const int8_t* low[3];  // of each kernel row, from its first pixel's left neighbour on
  const int8_t* high[3];
  int32_t channels, kernel_size, pixels;
  int32_t weight_bytes;       // 1 or 2
  int32_t level_bytes;        // 1, where a weight has one, or 2; of one, `high` is not read
  const int8_t* weights;      // of a group
  const int16_t* correction;  // of its channels: what is added to each sum, as int32
  int32_t* dots;              // [pixels][row_dots], from the group's first channel on
  int32_t row_dots;
};

// Only for processors that have the instructions.
void matrix_dots(const MatrixStrip& strip);

}  // namespace dotprod
}  // namespace bitsr
