// Executes a program over one picture after the other.
#include <new>

#include "bitsr/builder.h"
#include "bitsr/op_table.h"
#include "program_impl.h"

namespace bitsr {
namespace {

// A picture as StridedView has it, of any type.
template <class T>
struct View {
  T* data;
  int64_t c, h, w;
  int64_t channel, row, column;
};

// Picture `image` of a tensor whose memory begins at `data`.
template <class T>
View<T> view_of(T* data, const TensorView& tensor, int64_t image) {
  const int64_t c = tensor.c, h = tensor.h, w = tensor.w;
  data += image * c * h * w;
  if (tensor.layout == Layout::nhwc) return {data, c, h, w, 1, w * c, c};
  return {data, c, h, w, h * w, w, 1};
}

StridedView picture_of(const TensorView& tensor, int64_t image) {
  const View<float> v = view_of(tensor.data, tensor, image);
  return {v.data, v.c, v.h, v.w, v.channel, v.row, v.column};
}

// Calls `body(element of the first, of the second)` for all elements of two views of one shape.
template <class From, class To, class Body>
void for_elements(const From& from, const To& to, const Parallel& parallel, const Body& body) {
  for_ranges(parallel, from.h, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      for (int64_t x = 0; x < from.w; ++x) {
        const auto* a = from.data + y * from.row + x * from.column;
        auto* b = to.data + y * to.row + x * to.column;
        for (int64_t c = 0; c < from.c; ++c) body(a[c * from.channel], &b[c * to.channel]);
      }
  });
}

void copy(const StridedView& from, const StridedView& to, const Parallel& parallel) {
  for_elements(from, to, parallel, [](float value, float* result) { *result = value; });
}

void from_pixels(const View<uint8_t>& from, const StridedView& to, const Parallel& parallel) {
  for_elements(from, to, parallel, [](uint8_t level, float* value) { *value = static_cast<float>(level) / 255.0f; });
}

void to_pixels(const StridedView& from, const View<uint8_t>& to, const Parallel& parallel) {
  for_elements(from, to, parallel, [](float value, uint8_t* level) {
    const float bounded = value > 0.0f ? (value < 1.0f ? value : 1.0f) : 0.0f;  // NaN becomes 0
    *level = static_cast<uint8_t>(bounded * 255.0f + 0.5f);
  });
}

bool shape_equal(const Shape& a, const Shape& b) { return a.n == b.n && a.c == b.c && a.h == b.h && a.w == b.w; }

Status check_size(const TensorView& first) {
  if (first.n >= 1 && first.h >= 1 && first.w >= 1 && first.h <= kMaxSide && first.w <= kMaxSide) return {};
  return failure(StatusCode::invalid_argument, "a picture of %lldx%lld (batch %lld): expected sides of 1 to %lld",
                 static_cast<long long>(first.h), static_cast<long long>(first.w), static_cast<long long>(first.n),
                 static_cast<long long>(kMaxSide));
}

}  // namespace

Status Program::Impl::prepare() {
  layer_count = 0;
  layers = static_cast<Layer*>(calloc(static_cast<size_t>(graph.ops.count()), sizeof(Layer)));
  if (!layers || !slot_memory.reserve(static_cast<size_t>(plan.slot_count) * sizeof(Buffer)) ||
      !views_memory.reserve(static_cast<size_t>(graph.values.count()) * sizeof(StridedView)) ||
      !windows_memory.reserve(static_cast<size_t>(graph.values.count()) * sizeof(Window)))
    return no_memory();
  for (int32_t i = 0; i < plan.slot_count; ++i) new (&slots()[i]) Buffer;
  for (int32_t i = 0; i < graph.ops.count(); ++i) {
    Layer* layer = new (&layers[i]) Layer;
    layer_count = i + 1;
    if (!prepare_layer(graph.ops[i], graph.values[graph.ops[i].inputs[0]], *kernels, layer)) return no_memory();
    // The caller's constants may go away after finish().
    for (Constant& constant : layer->spec.constants) constant.data = nullptr;
    for (Constant& constant : graph.ops[i].constants) constant.data = nullptr;
  }
  find_fused_gates();
  return {};
}

Status Program::Impl::shape_of(int32_t id, const TensorView& first, Shape* shape) const {
  const ValueSpec& v = graph.values[id];
  *shape = {first.n, v.channels, 1, 1};
  if (v.kind == ValueKind::vector) return {};
  if (first.h * v.up % v.down != 0 || first.w * v.up % v.down != 0)
    return failure(StatusCode::invalid_argument, "a picture of %lldx%lld can not be divided by %d; pad it",
                   static_cast<long long>(first.h), static_cast<long long>(first.w), v.down);
  shape->h = first.h * v.up / v.down;
  shape->w = first.w * v.up / v.down;
  return {};
}

Status Program::Impl::check(const TensorView& view, int32_t id, const TensorView& first, const char* role,
                            int32_t index) const {
  Shape want;
  const Status status = shape_of(id, first, &want);
  if (!status.ok()) return status;
  if (!view.data && !view.pixels) return failure(StatusCode::invalid_argument, "%s %d has no data", role, index);
  if (view.pixels && graph.values[id].kind != ValueKind::pixels)
    return failure(StatusCode::invalid_argument, "%s %d is of 8 bits, expected float32", role, index);
  if (!shape_equal(want, {view.n, view.c, view.h, view.w}))
    return failure(StatusCode::invalid_argument, "%s %d: expected %lldx%lldx%lldx%lld, got %lldx%lldx%lldx%lld", role,
                   index, static_cast<long long>(want.n), static_cast<long long>(want.c),
                   static_cast<long long>(want.h), static_cast<long long>(want.w), static_cast<long long>(view.n),
                   static_cast<long long>(view.c), static_cast<long long>(view.h), static_cast<long long>(view.w));
  return {};
}

// Gives every value of one picture its memory and brings the inputs into the kernels' layout. `strip` is that of
// RunOptions, and becomes the one to take.
Status Program::Impl::place_values(const TensorView* inputs, const TensorView* outputs, int64_t image, int64_t* strip) {
  const auto tensor_of = [&](int32_t id) {
    const bool is_input = plan.values[id].is_input;
    const Array<int32_t>& ids = is_input ? graph.inputs : graph.outputs;
    for (int32_t i = 0; i < ids.count(); ++i)
      if (ids[i] == id) return is_input ? inputs[i] : outputs[i];
    return TensorView{};
  };
  for (int32_t id = 0; id < graph.values.count(); ++id) {
    if (plan.values[id].slot == kAbsent) continue;
    Shape shape;
    const Status status = shape_of(id, inputs[0], &shape);
    if (!status.ok()) return status;
    const ValueSpec& spec = graph.values[id];
    const bool dense = spec.kind == ValueKind::plane || (is_map(spec.kind) && plan.values[id].any_layout);
    const int64_t column = dense ? spec.channels : round_up_lanes(spec.channels);
    // gate_finish writes whole vectors: the rows of a plane are rounded up.
    const int64_t width = spec.kind == ValueKind::plane ? round_up_width(shape.w) : shape.w;
    value(id) = {nullptr, shape.c, shape.h, shape.w, 1, width * column, column};
  }
  const int64_t height = inputs[0].h;
  if (*strip <= 0) *strip = strip_rows(height);
  if (*strip > height) *strip = height;
  plan_windows(height, *strip);
  for (int32_t id = 0; id < graph.values.count(); ++id) {
    const ValuePlan& planned = plan.values[id];
    if (planned.slot == kAbsent) continue;
    StridedView& view = value(id);
    if (planned.is_input || planned.is_output) {
      const TensorView tensor = tensor_of(id);
      if (in_place(id, tensor)) {
        view = picture_of(tensor, image);
        continue;
      }
    }
    const int64_t rows = planned.is_window ? window(id).capacity : view.h;
    size_t size;
    if (!multiply(static_cast<size_t>(rows), static_cast<size_t>(view.row), &size) ||
        !multiply(size, sizeof(float), &size) || !slots()[planned.slot].reserve(size))
      return no_memory();
    view.data = slots()[planned.slot].as<float>();
    if (!planned.is_input) continue;
    const TensorView tensor = tensor_of(id);
    if (tensor.pixels)
      from_pixels(view_of(tensor.pixels, tensor, image), view, parallel);
    else
      copy(picture_of(tensor, image), view, parallel);
  }
  return {};
}

Status Program::Impl::run_layer(Layer* layer, Rows rows) {
  switch (layer->spec.kind) {
    case OpKind::binary_conv2d:
      return run_binary_conv2d(*layer, &layer->binary_conv2d, rows);
    case OpKind::channel_gate:
      return run_channel_gate(layer->spec, &layer->channel_gate, layer->row_sums_ready);
    case OpKind::spatial_gate:
      return run_spatial_gate(layer->spec, layer->spatial_gate, layer->row_sums_ready);
    case OpKind::quantized_spatial_gate:
      return run_quantized_spatial_gate(layer->spec, layer->quantized_spatial_gate);
    case OpKind::quantized_conv2d:
      return run_quantized_conv2d(layer->spec, layer->quantized_conv2d, rows);
    case OpKind::channel_norm:
      run_channel_norm(layer->spec, layer->channel_norm, rows);
      return {};
    case OpKind::pixel_gate:
      run_pixel_gate(layer->spec, layer->pixel_gate, rows);
      return {};
    case OpKind::rescale:
      run_rescale(layer->spec, layer->rescale, rows);
      return {};
    case OpKind::add:
      run_add(layer->spec, rows);
      return {};
    case OpKind::pixel_shuffle:
      run_pixel_shuffle(layer->spec, rows);
      return {};
  }
  return failure(StatusCode::invalid_program, "unknown op");
}

// Computes rows of an op's results; gates, whose results are no maps, have them all in one call.
Status Program::Impl::run_op(int32_t op, Rows rows, const RunOptions& options) {
  if (options.gate.proceed && !options.gate.proceed(options.gate.context))
    return failure(StatusCode::cancelled, "the run was cancelled before op %d", op);
  const Profiler& profiler = options.profiler;
  if (profiler.begin) profiler.begin(profiler.context, op, bitsr::op_name(layers[op].spec.kind));
  const Status status = run_layer(&layers[op], rows);
  if (profiler.end) profiler.end(profiler.context, op);
  if (status.ok() && options.observer.result) show_results(options.observer, op);
  return status;
}

// Copies rows of a result to where the caller wants it, unless it lies there.
void Program::Impl::hand_over(int32_t output, const TensorView& tensor, int64_t image, Rows rows) const {
  const int32_t id = graph.outputs[output];
  StridedView from = value(id);
  from.data += rows.begin * from.row;
  from.h = rows.end - rows.begin;
  if (tensor.pixels) {
    View<uint8_t> to = view_of(tensor.pixels, tensor, image);
    to.data += rows.begin * to.row;
    to_pixels(from, to, parallel);
  } else if (!in_place(id, tensor)) {
    StridedView to = picture_of(tensor, image);
    to.data += rows.begin * to.row;
    copy(from, to, parallel);
  }
}

void Program::Impl::show_results(const Observer& observer, int32_t op) const {
  const OpSpec& spec = layers[op].spec;
  for (int32_t i = 0; i < spec.output_count; ++i)
    if (spec.outputs[i] != kAbsent) observer.result(observer.context, op, i, value(spec.outputs[i]));
}

Program::~Program() {
  impl_->~Impl();
  free(impl_);
}

void Program::destroy(Program* program) {
  if (!program) return;
  program->~Program();
  free(program);
}

int32_t Program::input_count() const { return impl_->graph.inputs.count(); }
int32_t Program::output_count() const { return impl_->graph.outputs.count(); }
int32_t Program::op_count() const { return impl_->graph.ops.count(); }
const char* Program::op_name(int32_t op) const { return bitsr::op_name(impl_->graph.ops[op].kind); }
bool Program::input_is_pixels(int32_t input) const {
  return impl_->graph.values[impl_->graph.inputs[input]].kind == ValueKind::pixels;
}
bool Program::output_is_pixels(int32_t output) const {
  return impl_->graph.values[impl_->graph.outputs[output]].kind == ValueKind::pixels;
}
Isa Program::isa() const { return impl_->isa; }

Status Program::output_shapes(const TensorView* inputs, Shape* shapes) const {
  const Impl& impl = *impl_;
  const TensorView& first = inputs[0];
  const Status fits = check_size(first);
  if (!fits.ok()) return fits;
  for (int32_t i = 0; i < input_count(); ++i) {
    const Status status = impl.check(inputs[i], impl.graph.inputs[i], first, "input", i);
    if (!status.ok()) return status;
  }
  for (int32_t i = 0; i < output_count(); ++i) {
    const Status status = impl.shape_of(impl.graph.outputs[i], first, &shapes[i]);
    if (!status.ok()) return status;
  }
  return {};
}

Status Program::input_shape(int32_t input, int64_t n, int64_t h, int64_t w, Shape* shape) const {
  const TensorView first = {nullptr, n, 0, h, w, Layout::nchw};
  const Status status = check_size(first);
  return status.ok() ? impl_->shape_of(impl_->graph.inputs[input], first, shape) : status;
}

Status Program::run(const TensorView* inputs, const TensorView* outputs, const RunOptions& options) {
  Impl& impl = *impl_;
  Buffer shapes;
  if (!shapes.reserve(static_cast<size_t>(output_count()) * sizeof(Shape))) return no_memory();
  Status status = output_shapes(inputs, shapes.as<Shape>());
  if (!status.ok()) return status;
  for (int32_t i = 0; i < output_count(); ++i) {
    status = impl.check(outputs[i], impl.graph.outputs[i], inputs[0], "output", i);
    if (!status.ok()) return status;
  }
  impl.parallel = options.parallel;
  const int64_t height = inputs[0].h;
  // Who looks at ops sees each once, and whole.
  const bool watched = options.observer.result || options.profiler.begin || options.profiler.end;
  for (int64_t image = 0; image < inputs[0].n; ++image) {
    int64_t strip = watched ? height : options.strip_rows;
    status = impl.place_values(inputs, outputs, image, &strip);
    if (!status.ok()) return status;
    for (int32_t i = 0; i < impl.plan.first_strip_op; ++i) {
      status = impl.run_op(i, {0, impl.rows_of(i)}, options);
      if (!status.ok()) return status;
    }
    status = impl.run_strips(outputs, image, height, strip, options);
    if (!status.ok()) return status;
    for (int32_t i = 0; i < output_count(); ++i) {
      const int32_t id = impl.graph.outputs[i];
      if (!impl.plan.values[id].is_window) impl.hand_over(i, outputs[i], image, {0, impl.value(id).h});
    }
  }
  return {};
}

void copy_dense(const StridedView& from, float* to) {
  for (int64_t c = 0; c < from.c; ++c)
    for (int64_t y = 0; y < from.h; ++y)
      for (int64_t x = 0; x < from.w; ++x) *to++ = from.data[c * from.channel + y * from.row + x * from.column];
}

ProgramBuilder::ProgramBuilder() : impl_(nullptr) {
  void* memory = malloc(sizeof(Program::Impl));
  if (memory) impl_ = new (memory) Program::Impl;
}

ProgramBuilder::~ProgramBuilder() {
  if (!impl_) return;
  impl_->~Impl();
  free(impl_);
}

bool ProgramBuilder::add_value(const ValueSpec& value) { return impl_ && impl_->graph.values.push(value); }
bool ProgramBuilder::add_op(const OpSpec& op) { return impl_ && impl_->graph.ops.push(op); }
bool ProgramBuilder::add_input(int32_t value) { return impl_ && impl_->graph.inputs.push(value); }
bool ProgramBuilder::add_output(int32_t value) { return impl_ && impl_->graph.outputs.push(value); }

Status ProgramBuilder::finish(Isa isa, Program** program) {
  *program = nullptr;
  if (!impl_) return no_memory();
  Program::Impl* impl = impl_;
  impl->isa = isa == Isa::automatic ? best_isa() : isa;
  impl->kernels = find_kernels(impl->isa);
  if (!impl->kernels)
    return failure(StatusCode::unsupported_isa, "this processor or build lacks the kernel '%s'; choose one of auto, %s",
                   isa_name(isa), isa_names().text);
  Status status = validate(impl->graph);
  if (!status.ok()) return status;
  if (!make_plan(impl->graph, &impl->plan)) return no_memory();
  status = impl->prepare();
  if (!status.ok()) return status;
  void* memory = malloc(sizeof(Program));
  if (!memory) return no_memory();
  *program = new (memory) Program(impl);
  impl_ = nullptr;
  return {};
}

}  // namespace bitsr
