// The convolution of quantized maps: levels of the rows that are read, then those that are written.
#include "program_impl.h"

namespace bitsr {
namespace {

// Row y of the levels of a map that lies in any order: round(clip(x * inverse_step, -negative, positive)), halves to
// even; NaN gives -negative. The same operations as the kernels' quantize_row.
void quantize_any_layout(const StridedView& x, int64_t y, const QuantizedConv2dLayer& layer, int16_t* out) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: a sum with it is rounded to an integer
  const float* inverse_step = layer.inverse_step.as<float>();
  for (int64_t c = 0; c < x.c; ++c) {
    const float* from = x.data + c * x.channel + y * x.row;
    for (int64_t i = 0; i < x.w; ++i) {
      float v = from[i * x.column] * inverse_step[c];
      v = -layer.negative < v ? v : -layer.negative;
      v = v < layer.positive ? v : layer.positive;
      out[i * x.c + c] = static_cast<int16_t>((v + kMagic) - kMagic);
    }
  }
}

}  // namespace

Status Program::Impl::run_quantized_conv2d(const OpSpec& op, const QuantizedConv2dLayer& layer, Rows rows) {
  const StridedView& x = value(op.inputs[0]);
  const StridedView& out = value(op.outputs[0]);
  const int64_t border = layer.kernel_size / 2, row_values = (x.w + 2 * border) * x.c;
  size_t size;
  // A pair of an odd count reads one number behind the last.
  const int64_t height = rows.end - rows.begin + 2 * border;
  if (!multiply(static_cast<size_t>(height), static_cast<size_t>(row_values) * sizeof(int16_t), &size) ||
      !quantized_map.reserve(size + sizeof(int16_t)))
    return no_memory();
  int16_t* const levels = quantized_map.as<int16_t>();
  const auto clear = [&](int64_t first, int64_t count) {
    memset(levels + first, 0, static_cast<size_t>(count) * sizeof(int16_t));
  };
  const bool whole_vectors = layer.in_channels % kLaneCount == 0;
  for_rows(parallel, {rows.begin - border, rows.end + border}, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      // The border is 0, which is a level: it adds nothing to a sum.
      const int64_t first = (y - rows.begin + border) * row_values;
      if (y < 0 || y >= x.h) {
        clear(first, row_values);
        continue;
      }
      clear(first, border * x.c);
      clear(first + (x.w + border) * x.c, border * x.c);
      int16_t* const to = levels + first + border * x.c;
      if (whole_vectors)
        kernels->quantize_row({x.data + y * x.row, x.w, layer.in_channels, layer.inverse_step.as<float>(),
                               layer.negative, layer.positive, to});
      else
        quantize_any_layout(x, y, layer, to);
    }
  });
  for_rows(parallel, rows, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      const int64_t row_class = (y == 0 ? 1 : 0) | (y == x.h - 1 ? 2 : 0);
      QuantizedConvRow row = {{},
                              layer.weights.as<int16_t>(),
                              layer.kernel_size,
                              layer.in_channels,
                              layer.out_stride,
                              x.w,
                              layer.scale.as<float>(),
                              layer.bias.as<float>() + row_class * 4 * layer.out_stride,
                              layer.slope.as<float>(),
                              out.data + y * out.row};
      for (int32_t k = 0; k < layer.kernel_size; ++k) row.x[k] = levels + (y - rows.begin + k) * row_values;
      kernels->quantized_conv_row(row);
    }
  });
  return {};
}

}  // namespace bitsr
