// A program's state between and during runs; program.cpp runs it, run_*.cpp have its ops.
#pragma once

#include "bitsr/program.h"
#include "layers.h"
#include "plan.h"
#include "status.h"

namespace bitsr {

// Runs `body(begin, end)` over ranges of [0, count) on the caller's threads.
template <class Body>
void for_ranges(const Parallel& parallel, int64_t count, const Body& body) {
  if (!parallel.run) {
    body(0, count);
    return;
  }
  const auto task = [](void* arg, int64_t begin, int64_t end) { (*static_cast<const Body*>(arg))(begin, end); };
  parallel.run(parallel.context, count, task, const_cast<void*>(static_cast<const void*>(&body)));
}

// Rows of an op's result, end exclusive.
struct Rows {
  int64_t begin, end;
};

// Runs `body(begin, end)` over ranges of `rows` on the caller's threads.
template <class Body>
void for_rows(const Parallel& parallel, Rows rows, const Body& body) {
  for_ranges(parallel, rows.end - rows.begin,
             [&](int64_t begin, int64_t end) { body(rows.begin + begin, rows.begin + end); });
}

// How far a value that is written strip by strip has come: all in rows.
struct Window {
  int64_t first;  // the first one that is held
  int64_t done;   // those before it are written
  int64_t wanted;
  int64_t capacity;
};

inline int64_t round_up_width(int64_t width) { return (width + kLaneCount - 1) / kLaneCount * kLaneCount; }

inline Status no_memory() { return failure(StatusCode::out_of_memory, "out of memory; use smaller tiles"); }

struct Program::Impl {
  Graph graph;
  Plan plan;
  Isa isa = Isa::portable;  // never `automatic`
  const RowKernels* kernels = nullptr;
  Layer* layers = nullptr;
  int32_t layer_count = 0;
  Buffer slot_memory;     // Buffer[plan.slot_count]
  Buffer views_memory;    // StridedView[values], of the current picture
  Buffer windows_memory;  // Window[values]
  Buffer bits;            // packed signs of rows of one map, with a border of zero pixels for 3x3
  Buffer row_sums;        // [height][stride] of the input of the channel gates at hand
  Buffer gate_sums;       // [kernel rows][height][width rounded up] of the spatial gate at hand
  Buffer quantized_map;   // int16 [rows + border][width + border][channels] of the quantized op at hand
  Parallel parallel;

  ~Impl() {
    for (int32_t i = 0; i < layer_count; ++i) layers[i].~Layer();
    free(layers);
    for (int32_t i = 0; i < plan.slot_count && slots(); ++i) slots()[i].~Buffer();
  }

  Buffer* slots() const { return slot_memory.as<Buffer>(); }
  StridedView& value(int32_t id) const { return views_memory.as<StridedView>()[id]; }
  Window& window(int32_t id) const { return windows_memory.as<Window>()[id]; }

  Status prepare();
  Status shape_of(int32_t id, const TensorView& first, Shape* shape) const;
  Status check(const TensorView& view, int32_t id, const TensorView& first, const char* role, int32_t index) const;
  Status place_values(const TensorView* inputs, const TensorView* outputs, int64_t image, int64_t* strip);
  // Rows of an op's first result.
  int64_t rows_of(int32_t op) const {
    const OpSpec& spec = layers[op].spec;
    return value(spec.outputs[0] == kAbsent ? spec.outputs[1] : spec.outputs[0]).h;
  }
  Status run_op(int32_t op, Rows rows, const RunOptions& options);
  Status run_layer(Layer* layer, Rows rows);
  void hand_over(int32_t output, const TensorView& tensor, int64_t image, Rows rows) const;
  int64_t first_row_in_use(int32_t id) const;
  void want_rows(int64_t rows, int64_t input_height) const;
  int64_t strip_rows(int64_t input_height) const;
  void plan_windows(int64_t input_height, int64_t strip) const;
  void slide_window(int32_t id) const;
  Status run_strips(const TensorView* outputs, int64_t image, int64_t input_height, int64_t strip,
                    const RunOptions& options);
  void show_results(const Observer& observer, int32_t op) const;
  Status run_binary_conv2d(const Layer& whole, BinaryConv2dLayer* layer, Rows rows);
  Status run_channel_gate(const OpSpec& op, ChannelGateLayer* layer, bool row_sums_ready);
  Status run_spatial_gate(const OpSpec& op, const SpatialGateLayer& layer, bool row_sums_ready);
  Status run_quantized_spatial_gate(const OpSpec& op, const QuantizedSpatialGateLayer& layer);
  Status run_quantized_conv2d(const OpSpec& op, const QuantizedConv2dLayer& layer, Rows rows);
  void find_fused_gates();
  Status reserve_row_sums(const StridedView& x, int32_t channels);
  Status reserve_gate_sums(const StridedView& x, int32_t kernel_size);
  void sum_gate_row(const StridedView& x, const SpatialGateLayer& layer, int64_t y) const;
  void run_channel_norm(const OpSpec& op, const ChannelNormLayer& layer, Rows rows);
  void run_pixel_gate(const OpSpec& op, const PixelGateLayer& layer, Rows rows);
  void run_rescale(const OpSpec& op, const RescaleLayer& layer, Rows rows);
  void run_add(const OpSpec& op, Rows rows);
  void run_pixel_shuffle(const OpSpec& op, Rows rows);

  // A map of floats that lies in a caller's memory as the ops want it: no copy.
  bool in_place(int32_t id, const TensorView& tensor) const {
    const ValueSpec& v = graph.values[id];
    if (!is_map(v.kind) || !tensor.data) return false;
    return plan.values[id].any_layout || (tensor.layout == Layout::nhwc && v.channels % kLaneCount == 0);
  }
};

}  // namespace bitsr
