// The end of a network, strip by strip: of each map there only the rows that are still read are held.
#include "program_impl.h"

namespace bitsr {
namespace {

// What a strip's maps take together, and the least rows of the input that it belongs to: a small picture's end is one
// strip, in which threads meet seldom, and of wide maps are few rows more than two neighbours read.
constexpr int64_t kStripBytes = 4 << 20, kLeastStripRows = 4;

// Rows [a, b) of an op's result need rows [a / factor - radius, b / factor + radius) of its input.
struct Reach {
  int64_t radius, factor;
};

Reach reach_of(const OpSpec& op, int32_t input) {
  if (op.kind == OpKind::pixel_shuffle) return {0, op.attributes[pixel_shuffle::kFactor]};
  if (op.kind == OpKind::binary_conv2d && input == binary_conv2d::kX)
    return {op.attributes[binary_conv2d::kKernelSize] / 2, 1};
  if (op.kind == OpKind::quantized_conv2d) return {op.attributes[quantized_conv2d::kKernelSize] / 2, 1};
  return {0, 1};
}

int64_t at_most(int64_t value, int64_t limit) { return value < limit ? value : limit; }
int64_t at_least(int64_t value, int64_t limit) { return value > limit ? value : limit; }

}  // namespace

// The first row of a window's value that an op has yet to read, or the first that is not written.
int64_t Program::Impl::first_row_in_use(int32_t id) const {
  int64_t first = window(id).done;
  for (int32_t i = plan.first_strip_op; i < layer_count; ++i) {
    const OpSpec& op = layers[i].spec;
    for (int32_t k = 0; k < op.input_count; ++k) {
      if (op.inputs[k] != id) continue;
      const Reach reach = reach_of(op, k);
      first = at_most(first, at_least(0, window(op.outputs[0]).done / reach.factor - reach.radius));
    }
  }
  return first;
}

// Sets how many rows of each value have to be written for those of the results that belong to `rows` of the input's.
void Program::Impl::want_rows(int64_t rows, int64_t input_height) const {
  for (int32_t i = plan.first_strip_op; i < layer_count; ++i)
    window(layers[i].spec.outputs[0]).wanted = window(layers[i].spec.outputs[0]).done;
  for (int32_t i = layer_count; i-- > plan.first_strip_op;) {
    const OpSpec& op = layers[i].spec;
    const int32_t id = op.outputs[0];
    Window& made = window(id);
    const ValuePlan& planned = plan.values[id];
    if (planned.is_output || planned.last_use < 0)
      made.wanted = at_least(made.wanted, value(id).h * rows / input_height);
    if (made.wanted == made.done) continue;
    for (int32_t k = 0; k < op.input_count; ++k) {
      const int32_t read = op.inputs[k];
      if (read == kAbsent || !plan.values[read].is_window) continue;
      const Reach reach = reach_of(op, k);
      const int64_t needed = (made.wanted + reach.factor - 1) / reach.factor + reach.radius;
      window(read).wanted = at_least(window(read).wanted, at_most(needed, value(read).h));
    }
  }
}

// How many rows of the input a strip belongs to; needs the sizes of all values.
int64_t Program::Impl::strip_rows(int64_t input_height) const {
  int64_t bytes = 0;  // of one row of the input
  for (int32_t i = plan.first_strip_op; i < layer_count; ++i) {
    const StridedView& made = value(layers[i].spec.outputs[0]);
    bytes += (made.h + input_height - 1) / input_height * made.row * static_cast<int64_t>(sizeof(float));
  }
  return at_least(kLeastStripRows, at_most(input_height, kStripBytes / at_least(1, bytes)));
}

// How many rows of each value are held at once; needs the heights of all values.
void Program::Impl::plan_windows(int64_t input_height, int64_t strip) const {
  const auto for_windows = [&](const auto& body) {
    for (int32_t i = plan.first_strip_op; i < layer_count; ++i)
      body(layers[i].spec.outputs[0], window(layers[i].spec.outputs[0]));
  };
  for_windows([](int32_t, Window& w) { w = {0, 0, 0, 0}; });
  for (int64_t rows = 0; rows < input_height;) {
    rows = at_most(rows + strip, input_height);
    for_windows([&](int32_t id, Window& w) { w.first = first_row_in_use(id); });
    want_rows(rows, input_height);
    for_windows([](int32_t, Window& w) {
      w.capacity = at_least(w.capacity, w.wanted - w.first);
      w.done = w.wanted;
    });
  }
  for_windows([](int32_t, Window& w) { w = {0, 0, 0, w.capacity}; });
}

// Moves the rows that are still read to the beginning of a window's memory. The view counts rows from the map's first
// one, wherever that would lie.
void Program::Impl::slide_window(int32_t id) const {
  Window& w = window(id);
  const StridedView& view = value(id);
  float* const memory = slots()[plan.values[id].slot].as<float>();
  const int64_t first = first_row_in_use(id);
  if (first == w.first || view.data + w.first * view.row != memory) return;  // or it lies in the caller's memory
  memmove(memory, memory + (first - w.first) * view.row,
          static_cast<size_t>(w.done - first) * static_cast<size_t>(view.row) * sizeof(float));
  w.first = first;
  value(id).data = memory - first * view.row;
}

Status Program::Impl::run_strips(const TensorView* outputs, int64_t image, int64_t input_height, int64_t strip,
                                 const RunOptions& options) {
  for (int64_t rows = 0; rows < input_height;) {
    rows = at_most(rows + strip, input_height);
    for (int32_t i = plan.first_strip_op; i < layer_count; ++i) slide_window(layers[i].spec.outputs[0]);
    want_rows(rows, input_height);
    for (int32_t i = plan.first_strip_op; i < layer_count; ++i) {
      const int32_t id = layers[i].spec.outputs[0];
      Window& made = window(id);
      if (made.done == made.wanted) continue;
      const Rows fresh = {made.done, made.wanted};
      const Status status = run_op(i, fresh, options);
      if (!status.ok()) return status;
      made.done = made.wanted;
      for (int32_t o = 0; o < graph.outputs.count(); ++o)
        if (graph.outputs[o] == id) hand_over(o, outputs[o], image, fresh);
    }
  }
  return {};
}

}  // namespace bitsr
