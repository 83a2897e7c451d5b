// The binary convolution: packing of the signs, the rows, and the sums that the next gates need.
#include "program_impl.h"

namespace bitsr {
namespace {

// At most so many chunks of rows on several threads: enough to balance them, large enough to keep rows in the cache.
constexpr int64_t kMaxChunks = 16;

}  // namespace

Status Program::Impl::reserve_bits(const StridedView& x, const BinaryConv2dLayer& layer) {
  const int64_t border = layer.kernel_size / 2;
  const int64_t height = x.h + 2 * border, width = x.w + 2 * border;
  const size_t pixel = static_cast<size_t>(layer.words) * static_cast<size_t>(kernels->word_bytes);
  size_t size;
  if (!multiply(static_cast<size_t>(height), static_cast<size_t>(width), &size) || !multiply(size, pixel, &size))
    return no_memory();
  // A failed reserve() leaves the old geometry behind without its memory.
  const bool same = size <= bits.size() && bits_height == height && bits_width == width && bits_words == layer.words &&
                    bits_kernel_size == layer.kernel_size;
  if (!same) {
    if (size <= bits.size())
      bits.clear();  // the border's pixels must be 0
    else if (!bits.reserve(size))
      return no_memory();
    bits_height = height;
    bits_width = width;
    bits_words = layer.words;
    bits_kernel_size = layer.kernel_size;
  }
  return {};
}

Status Program::Impl::run_binary_conv2d(const Layer& whole, BinaryConv2dLayer* layer) {
  const OpSpec& op = whole.spec;
  const StridedView& x = value(op.inputs[binary_conv2d::kX]);
  const StridedView& out = value(op.outputs[0]);
  if (op.inputs[binary_conv2d::kThreshold] != kAbsent)
    memcpy(layer->threshold.as<float>(), value(op.inputs[binary_conv2d::kThreshold]).data,
           static_cast<size_t>(layer->in_channels) * 4);
  Status status = reserve_bits(x, *layer);
  if (status.ok() && whole.computes_row_sums) status = reserve_row_sums(out, layer->out_channels);
  const SpatialGateLayer* next_gate =
      whole.next_spatial_gate == kAbsent ? nullptr : &layers[whole.next_spatial_gate].spatial_gate;
  if (status.ok() && next_gate) status = reserve_gate_sums(out, next_gate->kernel_size);
  if (!status.ok()) return status;
  const int64_t border = layer->kernel_size / 2;
  const size_t pixel_bytes = static_cast<size_t>(layer->words) * static_cast<size_t>(kernels->word_bytes);
  const size_t row_bytes = static_cast<size_t>(bits_width) * pixel_bytes;
  const auto pack_row = [&](int64_t y) {
    kernels->pack_row(
        x.data + y * x.row, layer->threshold.as<float>(), x.w, layer->in_stride, layer->words,
        bits.as<uint8_t>() + static_cast<size_t>(y + border) * row_bytes + static_cast<size_t>(border) * pixel_bytes);
  };
  // A row is packed just before its first use, so that it is still in the cache when it comes as the residual, and
  // before the output may overwrite it. Rows that two chunks need are packed beforehand.
  const int64_t chunk = parallel.run ? (x.h + kMaxChunks - 1) / kMaxChunks : x.h;
  const int64_t chunks = (x.h + chunk - 1) / chunk;
  const bool shared_edges = chunks > 1 && border > 0;
  if (shared_edges)
    for_ranges(parallel, chunks, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        pack_row(i * chunk);
        const int64_t last = (i + 1) * chunk < x.h ? (i + 1) * chunk - 1 : x.h - 1;
        if (last > i * chunk) pack_row(last);
      }
    });
  const auto optional_value = [&](binary_conv2d::Input input) {
    return op.inputs[input] == kAbsent ? nullptr : &value(op.inputs[input]);
  };
  const StridedView* residual = optional_value(binary_conv2d::kResidual);
  const StridedView* gain = optional_value(binary_conv2d::kChannelGain);
  const StridedView* spatial_gain = optional_value(binary_conv2d::kSpatialGain);
  for_ranges(parallel, chunks, [&](int64_t first_chunk, int64_t end_chunk) {
    ConvRow row = {};
    row.weights = layer->weights.as<uint8_t>();
    row.kernel_size = layer->kernel_size;
    row.words = layer->words;
    row.planes = layer->planes;
    row.width = x.w;
    row.out_stride = layer->out_stride;
    row.in_stride = layer->in_stride;
    row.epilogue = {layer->scale.as<float>(),       layer->shift.as<float>(),    layer->inner_slope.as<float>(),
                    layer->inner_shift.as<float>(), gain ? gain->data : nullptr, layer->slope.as<float>()};
    for (int64_t i = first_chunk; i < end_chunk; ++i) {
      const int64_t begin = i * chunk, end = begin + chunk < x.h ? begin + chunk : x.h;
      int64_t next = begin;  // the first row that is not packed yet
      for (int64_t y = begin; y < end; ++y) {
        for (; next < end && next <= y + border; ++next)
          if (!shared_edges || (next != begin && next != end - 1)) pack_row(next);
        for (int32_t k = 0; k < layer->kernel_size; ++k)
          row.bits[k] = bits.as<uint8_t>() + static_cast<size_t>(y + k) * row_bytes;
        const int64_t border_class = border == 0 ? 0 : (y == 0 ? 1 : 0) | (y == x.h - 1 ? 2 : 0);
        row.dot_offset = layer->dot_offset.as<int32_t>() + border_class * layer->planes * 4 * layer->out_stride;
        row.spatial_gain = spatial_gain ? spatial_gain->data + y * spatial_gain->row : nullptr;
        row.residual = residual ? residual->data + y * residual->row : nullptr;
        row.out = out.data + y * out.row;
        row.next_in = next < end ? x.data + next * x.row : nullptr;
        kernels->conv_row(row);
        // The gates of the next layer take their sums while the row is in the cache.
        if (whole.computes_row_sums)
          kernels->sum_row(row.out, x.w, layer->out_stride, row_sums.as<float>() + y * layer->out_stride);
        if (next_gate) sum_gate_row(out, *next_gate, y);
      }
    }
  });
  return {};
}

}  // namespace bitsr
