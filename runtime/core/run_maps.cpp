// Ops that add, scale or normalise maps or move their elements.
#include "program_impl.h"

namespace bitsr {

void Program::Impl::run_add(const OpSpec& op, Rows rows) {
  const StridedView& a = value(op.inputs[add::kA]);
  const StridedView& b = value(op.inputs[add::kB]);
  const StridedView& out = value(op.outputs[0]);
  for_rows(parallel, rows, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      kernels->add_row(a.data + y * a.row, b.data + y * b.row, a.w * a.column, out.data + y * out.row);
  });
}

void Program::Impl::run_rescale(const OpSpec& op, const RescaleLayer& layer, Rows rows) {
  const auto optional_value = [&](rescale::Input input) {
    return op.inputs[input] == kAbsent ? nullptr : &value(op.inputs[input]);
  };
  const StridedView& x = value(op.inputs[rescale::kX]);
  const StridedView& out = value(op.outputs[0]);
  const StridedView* channel_gain = optional_value(rescale::kChannelGain);
  const StridedView* spatial_gain = optional_value(rescale::kSpatialGain);
  const StridedView* gain = optional_value(rescale::kGain);
  const StridedView* residual = optional_value(rescale::kResidual);
  const auto row_of = [](const StridedView* view, int64_t y) { return view ? view->data + y * view->row : nullptr; };
  const int32_t stride = round_up_lanes(graph.values[op.inputs[rescale::kX]].channels);
  for_rows(parallel, rows, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      kernels->rescale_row({row_of(&x, y), x.w, stride, layer.scale.as<float>(),
                            channel_gain ? channel_gain->data : nullptr, row_of(spatial_gain, y), row_of(gain, y),
                            row_of(residual, y), row_of(&out, y)});
  });
}

void Program::Impl::run_channel_norm(const OpSpec& op, const ChannelNormLayer& layer, Rows rows) {
  const StridedView& x = value(op.inputs[0]);
  const StridedView& out = value(op.outputs[0]);
  for_rows(parallel, rows, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      kernels->channel_norm_row({x.data + y * x.row, x.w, layer.channels, layer.stride, layer.weight.as<float>(),
                                 layer.bias.as<float>(), layer.epsilon, out.data + y * out.row});
  });
}

void Program::Impl::run_pixel_shuffle(const OpSpec& op, Rows rows) {
  const StridedView& x = value(op.inputs[pixel_shuffle::kX]);
  const StridedView* skip =
      op.inputs[pixel_shuffle::kSkip] == kAbsent ? nullptr : &value(op.inputs[pixel_shuffle::kSkip]);
  const StridedView& out = value(op.outputs[0]);
  const int64_t factor = op.attributes[pixel_shuffle::kFactor], channels = graph.values[op.outputs[0]].channels;
  // Elements of a map whose channels lie side by side are written as they lie.
  const bool by_pixels = out.channel == 1;
  for_rows(parallel, rows, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      const float* from = x.data + y % factor * factor * x.channel + y / factor * x.row;
      const float* add = skip ? skip->data + y / factor * skip->row : nullptr;
      float* to = out.data + y * out.row;
      const auto move = [&](int64_t c, int64_t column, int64_t j) {
        const float element = from[(c * factor * factor + j) * x.channel + column * x.column];
        to[c * out.channel + (column * factor + j) * out.column] =
            add ? element + add[c * skip->channel + column * skip->column] : element;
      };
      if (by_pixels) {
        for (int64_t column = 0; column < x.w; ++column)
          for (int64_t j = 0; j < factor; ++j)
            for (int64_t c = 0; c < channels; ++c) move(c, column, j);
      } else {
        for (int64_t c = 0; c < channels; ++c)
          for (int64_t column = 0; column < x.w; ++column)
            for (int64_t j = 0; j < factor; ++j) move(c, column, j);
      }
    }
  });
}

}  // namespace bitsr
