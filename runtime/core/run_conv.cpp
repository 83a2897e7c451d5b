// The binary convolution: packing of the signs, the rows, and the sums that the next gates need.
#include "program_impl.h"

namespace bitsr {
namespace {

// At most so many chunks of rows on several threads: enough to balance them, large enough to keep rows in the cache.
constexpr int64_t kMaxChunks = 16;

}  // namespace

Status Program::Impl::run_binary_conv2d(const Layer& whole, BinaryConv2dLayer* layer, Rows rows) {
  const OpSpec& op = whole.spec;
  const StridedView& x = value(op.inputs[binary_conv2d::kX]);
  const StridedView& out = value(op.outputs[0]);
  if (op.inputs[binary_conv2d::kThreshold] != kAbsent)
    memcpy(layer->threshold.as<float>(), value(op.inputs[binary_conv2d::kThreshold]).data,
           static_cast<size_t>(layer->in_channels) * 4);
  const int64_t border = layer->kernel_size / 2;
  const size_t pixel_bytes = static_cast<size_t>(layer->words) * static_cast<size_t>(kernels->word_bytes);
  const size_t border_bytes = static_cast<size_t>(border) * pixel_bytes;
  const int64_t height = rows.end - rows.begin + 2 * border;
  size_t row_bytes, size;
  if (!multiply(static_cast<size_t>(x.w + 2 * border), pixel_bytes, &row_bytes) ||
      !multiply(static_cast<size_t>(height), row_bytes, &size) || !bits.reserve(size))
    return no_memory();
  Status status;
  if (whole.computes_row_sums) status = reserve_row_sums(out, layer->out_channels);
  const SpatialGateLayer* next_gate =
      whole.next_spatial_gate == kAbsent ? nullptr : &layers[whole.next_spatial_gate].spatial_gate;
  if (status.ok() && next_gate) status = reserve_gate_sums(out, next_gate->kernel_size);
  if (!status.ok()) return status;
  const auto bits_of = [&](int64_t y) {
    return bits.as<uint8_t>() + static_cast<size_t>(y - rows.begin + border) * row_bytes;
  };
  const auto pack_row = [&](int64_t y) {
    uint8_t* const to = bits_of(y);
    memset(to, 0, border_bytes);
    kernels->pack_row(x.data + y * x.row, layer->threshold.as<float>(), x.w, layer->in_stride, layer->words,
                      to + border_bytes);
    memset(to + row_bytes - border_bytes, 0, border_bytes);
  };
  // Rows above and below the map are zeros.
  const Rows packed = {rows.begin - border > 0 ? rows.begin - border : 0,
                       rows.end + border < x.h ? rows.end + border : x.h};
  if (rows.begin < border) memset(bits_of(-border), 0, row_bytes);
  if (rows.end + border > x.h) memset(bits_of(x.h), 0, row_bytes);
  // A row is packed just before its first use, so that it is still in the cache when it comes as the residual, and
  // before the output may overwrite it. Rows that two chunks need are packed beforehand.
  const int64_t count = rows.end - rows.begin;
  const int64_t chunk = parallel.run ? (count + kMaxChunks - 1) / kMaxChunks : count;
  const int64_t chunks = (count + chunk - 1) / chunk;
  const bool shared_edges = chunks > 1 && border > 0;
  const auto chunk_rows = [&](int64_t i) {
    const int64_t begin = rows.begin + i * chunk;
    return Rows{begin, begin + chunk < rows.end ? begin + chunk : rows.end};
  };
  if (shared_edges)
    for_ranges(parallel, chunks, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const Rows own = chunk_rows(i);
        pack_row(own.begin);
        if (own.end - 1 > own.begin) pack_row(own.end - 1);
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
      const Rows own = chunk_rows(i);
      int64_t next = i == 0 ? packed.begin : own.begin;  // the first row that is not packed yet
      const int64_t end = i == chunks - 1 ? packed.end : own.end;
      for (int64_t y = own.begin; y < own.end; ++y) {
        for (; next < end && next <= y + border; ++next)
          if (!shared_edges || (next != own.begin && next != own.end - 1)) pack_row(next);
        for (int32_t k = 0; k < layer->kernel_size; ++k) row.bits[k] = bits_of(y + k - border);
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
