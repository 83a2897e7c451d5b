// Ops that add maps or move their elements.
#include "program_impl.h"

namespace bitsr {

void Program::Impl::run_add(const OpSpec& op) {
  const StridedView& a = value(op.inputs[add::kA]);
  const StridedView& b = value(op.inputs[add::kB]);
  const StridedView& out = value(op.outputs[0]);
  for_ranges(parallel, a.h, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      kernels->add_row(a.data + y * a.row, b.data + y * b.row, a.w * a.column, out.data + y * out.row);
  });
}

void Program::Impl::run_pixel_shuffle(const OpSpec& op) {
  const StridedView& x = value(op.inputs[pixel_shuffle::kX]);
  const StridedView* skip =
      op.inputs[pixel_shuffle::kSkip] == kAbsent ? nullptr : &value(op.inputs[pixel_shuffle::kSkip]);
  const StridedView& out = value(op.outputs[0]);
  const int64_t factor = op.attributes[pixel_shuffle::kFactor], channels = graph.values[op.outputs[0]].channels;
  for_ranges(parallel, x.h, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t i = 0; i < factor; ++i) {
          float* to = out.data + c * out.channel + (y * factor + i) * out.row;
          const float* from = x.data + (c * factor + i) * factor * x.channel + y * x.row;
          const float* add = skip ? skip->data + c * skip->channel + y * skip->row : nullptr;
          for (int64_t column = 0; column < x.w; ++column)
            for (int64_t j = 0; j < factor; ++j) {
              const float value = from[column * x.column + j * x.channel];
              to[(column * factor + j) * out.column] = add ? value + add[column * skip->column] : value;
            }
        }
  });
}

}  // namespace bitsr
