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

namespace {

// What one row of a shuffled map is made of: the elements that a pixel of the smaller map has for it, and its skip.
struct ShuffledRow {
  const float* from;
  int64_t from_channel, from_column;
  const float* skip;  // or null
  int64_t skip_channel, skip_column;
  int64_t width;  // of the smaller map
  int64_t channels;
  int64_t factor;
  float* to;
  int64_t to_channel, to_column;
};

void shuffle_any_row(const ShuffledRow& row) {
  const auto move = [&](int64_t c, int64_t column, int64_t j) {
    const float element = row.from[(c * row.factor * row.factor + j) * row.from_channel + column * row.from_column];
    row.to[c * row.to_channel + (column * row.factor + j) * row.to_column] =
        row.skip ? element + row.skip[c * row.skip_channel + column * row.skip_column] : element;
  };
  // Elements of a map whose channels lie side by side are written as they lie.
  if (row.to_channel == 1) {
    for (int64_t column = 0; column < row.width; ++column)
      for (int64_t j = 0; j < row.factor; ++j)
        for (int64_t c = 0; c < row.channels; ++c) move(c, column, j);
  } else {
    for (int64_t c = 0; c < row.channels; ++c)
      for (int64_t column = 0; column < row.width; ++column)
        for (int64_t j = 0; j < row.factor; ++j) move(c, column, j);
  }
}

// A picture of kFactor times the size from a map whose channels lie side by side: what a pixel gives to a row is read
// at once, so that a compiler moves it in vectors.
template <int64_t kFactor>
void shuffle_picture_row(const ShuffledRow& row) {
  constexpr int64_t kChannels = 3;
  for (int64_t column = 0; column < row.width; ++column) {
    float elements[kChannels][kFactor];
    for (int64_t c = 0; c < kChannels; ++c) {
      const float* const from = row.from + column * row.from_column + c * kFactor * kFactor;
      const float add = row.skip[c * row.skip_channel + column * row.skip_column];
      for (int64_t j = 0; j < kFactor; ++j) elements[c][j] = from[j] + add;
    }
    float* const to = row.to + column * kFactor * row.to_column;
    if (row.to_channel == 1) {
      for (int64_t j = 0; j < kFactor; ++j)
        for (int64_t c = 0; c < kChannels; ++c) to[j * kChannels + c] = elements[c][j];
    } else {
      for (int64_t c = 0; c < kChannels; ++c)
        for (int64_t j = 0; j < kFactor; ++j) to[c * row.to_channel + j] = elements[c][j];
    }
  }
}

bool is_picture_row(const ShuffledRow& row) {
  return row.skip && row.channels == 3 && row.from_channel == 1 &&
         (row.to_channel == 1 ? row.to_column == 3 : row.to_column == 1);
}

void shuffle_row(const ShuffledRow& row) {
  const int64_t factor = is_picture_row(row) ? row.factor : 0;
  switch (factor) {
    case 2:
      shuffle_picture_row<2>(row);
      break;
    case 3:
      shuffle_picture_row<3>(row);
      break;
    case 4:
      shuffle_picture_row<4>(row);
      break;
    default:
      shuffle_any_row(row);
      break;
  }
}

}  // namespace

void Program::Impl::run_pixel_shuffle(const OpSpec& op, Rows rows) {
  const StridedView& x = value(op.inputs[pixel_shuffle::kX]);
  const StridedView* skip =
      op.inputs[pixel_shuffle::kSkip] == kAbsent ? nullptr : &value(op.inputs[pixel_shuffle::kSkip]);
  const StridedView& out = value(op.outputs[0]);
  const int64_t factor = op.attributes[pixel_shuffle::kFactor], channels = graph.values[op.outputs[0]].channels;
  for_rows(parallel, rows, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      shuffle_row({x.data + y % factor * factor * x.channel + y / factor * x.row, x.channel, x.column,
                   skip ? skip->data + y / factor * skip->row : nullptr, skip ? skip->channel : 0,
                   skip ? skip->column : 0, x.w, channels, factor, out.data + y * out.row, out.channel, out.column});
    }
  });
}

}  // namespace bitsr
