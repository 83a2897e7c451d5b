// Executes a program over one picture after the other.
#include <new>

#include "bitsr/builder.h"
#include "dispatch.h"
#include "program_impl.h"

namespace bitsr {
namespace {

// At most so many chunks of rows on several threads: enough to balance them, large enough to keep rows in the cache.
constexpr int64_t kMaxChunks = 16;

Place dense(float* data, const Shape& shape, Layout layout) {
  if (layout == Layout::nhwc) return {data, shape.h, shape.w, 1, shape.w * shape.c, shape.c};
  return {data, shape.h, shape.w, shape.h * shape.w, shape.w, 1};
}

void copy(const Place& from, const Place& to, int64_t channels, const Parallel& parallel) {
  for_ranges(parallel, from.height, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      for (int64_t x = 0; x < from.width; ++x) {
        const float* a = from.data + y * from.row + x * from.column;
        float* b = to.data + y * to.row + x * to.column;
        for (int64_t c = 0; c < channels; ++c) b[c * to.channel] = a[c * from.channel];
      }
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
      !places_memory.reserve(static_cast<size_t>(graph.values.count()) * sizeof(Place)))
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
  if (!view.data) return failure(StatusCode::invalid_argument, "%s %d has no data", role, index);
  if (!shape_equal(want, {view.n, view.c, view.h, view.w}))
    return failure(StatusCode::invalid_argument, "%s %d: expected %lldx%lldx%lldx%lld, got %lldx%lldx%lldx%lld", role,
                   index, static_cast<long long>(want.n), static_cast<long long>(want.c),
                   static_cast<long long>(want.h), static_cast<long long>(want.w), static_cast<long long>(view.n),
                   static_cast<long long>(view.c), static_cast<long long>(view.h), static_cast<long long>(view.w));
  return {};
}

// Gives every value of one picture its memory and brings the inputs into the kernels' layout.
Status Program::Impl::place_values(const TensorView* inputs, const TensorView* outputs, int64_t image) {
  const auto view_of = [&](const Array<int32_t>& ids, const TensorView* views, int32_t id) {
    for (int32_t i = 0; i < ids.count(); ++i)
      if (ids[i] == id) return image_of(views[i], image);
    return TensorView{};
  };
  for (int32_t id = 0; id < graph.values.count(); ++id) {
    const ValueSpec& spec = graph.values[id];
    const ValuePlan& value = plan.values[id];
    if (value.slot == kAbsent) continue;
    Shape shape;
    const Status status = shape_of(id, inputs[0], &shape);
    if (!status.ok()) return status;
    shape.n = 1;
    if (value.is_input || value.is_output) {
      const TensorView view = value.is_input ? view_of(graph.inputs, inputs, id) : view_of(graph.outputs, outputs, id);
      if ((spec.kind == ValueKind::map && value.any_layout) || in_place(id, view.layout)) {
        place(id) = dense(view.data, shape, view.layout);
        continue;
      }
    }
    const int64_t stride = spec.kind == ValueKind::plane ? 1 : round_up_lanes(spec.channels);
    // gate_finish writes whole vectors: the rows of a plane are rounded up.
    const int64_t width = spec.kind == ValueKind::plane ? round_up_width(shape.w) : shape.w;
    size_t size;
    if (!multiply(static_cast<size_t>(shape.h), static_cast<size_t>(width), &size) ||
        !multiply(size, static_cast<size_t>(stride) * 4, &size) || !slots()[value.slot].reserve(size))
      return no_memory();
    place(id) = {slots()[value.slot].as<float>(), shape.h, shape.w, 1, width * stride, stride};
    if (value.is_input) {
      const TensorView view = view_of(graph.inputs, inputs, id);
      copy(dense(view.data, shape, view.layout), place(id), spec.channels, parallel);
    }
  }
  return {};
}

Status Program::Impl::reserve_bits(const Place& x, const ConvLayer& layer) {
  const int64_t border = layer.kernel / 2;
  const int64_t height = x.height + 2 * border, width = x.width + 2 * border;
  const size_t pixel = static_cast<size_t>(layer.words) * static_cast<size_t>(kernels->word_bytes);
  size_t size;
  if (!multiply(static_cast<size_t>(height), static_cast<size_t>(width), &size) || !multiply(size, pixel, &size))
    return no_memory();
  // A failed reserve() leaves the old geometry behind without its memory.
  const bool same = size <= bits.size() && bits_height == height && bits_width == width && bits_words == layer.words &&
                    bits_kernel == layer.kernel;
  if (!same) {
    if (size <= bits.size())
      bits.clear();  // the border's pixels must be 0
    else if (!bits.reserve(size))
      return no_memory();
    bits_height = height;
    bits_width = width;
    bits_words = layer.words;
    bits_kernel = layer.kernel;
  }
  return {};
}

Status Program::Impl::run_conv(const Layer& whole, ConvLayer* layer) {
  const OpSpec& op = whole.spec;
  const Place& x = place(op.inputs[conv::kX]);
  const Place& out = place(op.outputs[0]);
  if (op.inputs[conv::kThreshold] != kAbsent)
    memcpy(layer->threshold.as<float>(), place(op.inputs[conv::kThreshold]).data,
           static_cast<size_t>(layer->in_channels) * 4);
  Status status = reserve_bits(x, *layer);
  if (status.ok() && whole.sums_rows) status = reserve_row_sums(out, layer->out_channels);
  const SpatialLayer* next_gate = whole.spatial_gate == kAbsent ? nullptr : &layers[whole.spatial_gate].spatial;
  if (status.ok() && next_gate) status = reserve_gate_sums(out, next_gate->kernel);
  if (!status.ok()) return status;
  const int64_t border = layer->kernel / 2;
  const size_t pixel_bytes = static_cast<size_t>(layer->words) * static_cast<size_t>(kernels->word_bytes);
  const size_t row_bytes = static_cast<size_t>(bits_width) * pixel_bytes;
  const auto pack_row = [&](int64_t y) {
    kernels->pack_row(
        x.data + y * x.row, layer->threshold.as<float>(), x.width, layer->in_stride, layer->words,
        bits.as<uint8_t>() + static_cast<size_t>(y + border) * row_bytes + static_cast<size_t>(border) * pixel_bytes);
  };
  // A row is packed just before its first use, so that it is still in the cache when it comes as the residual, and
  // before the output may overwrite it. Rows that two chunks need are packed beforehand.
  const int64_t chunk = parallel.run ? (x.height + kMaxChunks - 1) / kMaxChunks : x.height;
  const int64_t chunks = (x.height + chunk - 1) / chunk;
  const bool shared_edges = chunks > 1 && border > 0;
  if (shared_edges)
    for_ranges(parallel, chunks, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        pack_row(i * chunk);
        const int64_t last = (i + 1) * chunk < x.height ? (i + 1) * chunk - 1 : x.height - 1;
        if (last > i * chunk) pack_row(last);
      }
    });
  const auto plane_of = [&](conv::Input input) {
    return op.inputs[input] == kAbsent ? nullptr : &place(op.inputs[input]);
  };
  const Place* residual = plane_of(conv::kResidual);
  const Place* gain = plane_of(conv::kChannelGain);
  const Place* spatial_gain = plane_of(conv::kSpatialGain);
  for_ranges(parallel, chunks, [&](int64_t first_chunk, int64_t end_chunk) {
    ConvRow row = {};
    row.weights = layer->weights.as<uint8_t>();
    row.kernel = layer->kernel;
    row.words = layer->words;
    row.planes = layer->planes;
    row.width = x.width;
    row.out_stride = layer->out_stride;
    row.in_stride = layer->in_stride;
    row.epilogue = {layer->scale.as<float>(),       layer->shift.as<float>(),    layer->inner_slope.as<float>(),
                    layer->inner_shift.as<float>(), gain ? gain->data : nullptr, layer->slope.as<float>()};
    for (int64_t i = first_chunk; i < end_chunk; ++i) {
      const int64_t begin = i * chunk, end = begin + chunk < x.height ? begin + chunk : x.height;
      int64_t next = begin;  // the first row that is not packed yet
      for (int64_t y = begin; y < end; ++y) {
        for (; next < end && next <= y + border; ++next)
          if (!shared_edges || (next != begin && next != end - 1)) pack_row(next);
        for (int32_t k = 0; k < layer->kernel; ++k)
          row.bits[k] = bits.as<uint8_t>() + static_cast<size_t>(y + k) * row_bytes;
        const int64_t border_class = border == 0 ? 0 : (y == 0 ? 1 : 0) | (y == x.height - 1 ? 2 : 0);
        row.base = layer->base.as<int32_t>() + border_class * layer->planes * 4 * layer->out_stride;
        row.spatial_gain = spatial_gain ? spatial_gain->data + y * spatial_gain->row : nullptr;
        row.residual = residual ? residual->data + y * residual->row : nullptr;
        row.out = out.data + y * out.row;
        row.next_in = next < end ? x.data + next * x.row : nullptr;
        kernels->conv_row(row);
        // The gates of the next layer take their sums while the row is in the cache.
        if (whole.sums_rows)
          kernels->sum_row(row.out, x.width, layer->out_stride, row_sums.as<float>() + y * layer->out_stride);
        if (next_gate) sum_gate_row(out, *next_gate, y);
      }
    }
  });
  return {};
}

void Program::Impl::run_add(const OpSpec& op) {
  const Place& a = place(op.inputs[0]);
  const Place& b = place(op.inputs[1]);
  const Place& out = place(op.outputs[0]);
  for_ranges(parallel, a.height, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      kernels->add_row(a.data + y * a.row, b.data + y * b.row, a.width * a.column, out.data + y * out.row);
  });
}

void Program::Impl::run_shuffle(const OpSpec& op) {
  const Place& x = place(op.inputs[shuffle::kX]);
  const Place* skip = op.inputs[shuffle::kSkip] == kAbsent ? nullptr : &place(op.inputs[shuffle::kSkip]);
  const Place& out = place(op.outputs[0]);
  const int64_t factor = op.attributes[0], channels = graph.values[op.outputs[0]].channels;
  for_ranges(parallel, x.height, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t i = 0; i < factor; ++i) {
          float* to = out.data + c * out.channel + (y * factor + i) * out.row;
          const float* from = x.data + (c * factor + i) * factor * x.channel + y * x.row;
          const float* add = skip ? skip->data + c * skip->channel + y * skip->row : nullptr;
          for (int64_t column = 0; column < x.width; ++column)
            for (int64_t j = 0; j < factor; ++j) {
              const float value = from[column * x.column + j * x.channel];
              to[(column * factor + j) * out.column] = add ? value + add[column * skip->column] : value;
            }
        }
  });
}

Status Program::Impl::run_layer(Layer* layer) {
  switch (layer->spec.kind) {
    case OpKind::binary_conv2d:
      return run_conv(*layer, &layer->conv);
    case OpKind::channel_gate:
      return run_gate(layer->spec, &layer->gate, layer->summed);
    case OpKind::spatial_gate:
      return run_spatial(layer->spec, layer->spatial, layer->summed);
    case OpKind::quantized_spatial_gate:
      return run_quantized_gate(layer->spec, layer->quantized);
    case OpKind::add:
      run_add(layer->spec);
      return {};
    case OpKind::pixel_shuffle:
      run_shuffle(layer->spec);
      return {};
  }
  return failure(StatusCode::invalid_program, "unknown op");
}

void Program::Impl::show_results(int32_t op) const {
  const OpSpec& spec = layers[op].spec;
  for (int32_t i = 0; i < spec.output_count; ++i) {
    const int32_t id = spec.outputs[i];
    if (id == kAbsent) continue;
    const Place& p = place(id);
    observer.result(observer.context, op, i,
                    {p.data, graph.values[id].channels, p.height, p.width, p.channel, p.row, p.column});
  }
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
const char* Program::op_name(int32_t op) const { return op_kind_name(impl_->graph.ops[op].kind); }
Kernel Program::kernel() const { return impl_->kernel; }

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

Status Program::run(const TensorView* inputs, const TensorView* outputs, const Parallel& parallel,
                    const Profiler& profiler) {
  Impl& impl = *impl_;
  Buffer shapes;
  if (!shapes.reserve(static_cast<size_t>(output_count()) * sizeof(Shape))) return no_memory();
  Status status = output_shapes(inputs, shapes.as<Shape>());
  if (!status.ok()) return status;
  for (int32_t i = 0; i < output_count(); ++i) {
    status = impl.check(outputs[i], impl.graph.outputs[i], inputs[0], "output", i);
    if (!status.ok()) return status;
  }
  impl.parallel = parallel;
  for (int64_t image = 0; image < inputs[0].n; ++image) {
    status = impl.place_values(inputs, outputs, image);
    if (!status.ok()) return status;
    for (int32_t i = 0; i < impl.layer_count; ++i) {
      if (profiler.begin) profiler.begin(profiler.context, i, op_name(i));
      status = impl.run_layer(&impl.layers[i]);
      if (profiler.end) profiler.end(profiler.context, i);
      if (!status.ok()) return status;
      if (impl.observer.result) impl.show_results(i);
    }
    for (int32_t i = 0; i < output_count(); ++i) {
      const int32_t id = impl.graph.outputs[i];
      const TensorView view = impl.image_of(outputs[i], image);
      if (impl.place(id).data == view.data) continue;
      copy(impl.place(id), dense(view.data, {1, view.c, view.h, view.w}, view.layout), view.c, parallel);
    }
  }
  return {};
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

Status ProgramBuilder::input_shape(const Program& program, int32_t input, int64_t n, int64_t h, int64_t w,
                                   Shape* shape) {
  const TensorView first = {nullptr, n, 0, h, w, Layout::nchw};
  const Status status = check_size(first);
  return status.ok() ? program.impl_->shape_of(program.impl_->graph.inputs[input], first, shape) : status;
}

void ProgramBuilder::observe(Program* program, const Observer& observer) { program->impl_->observer = observer; }

Status ProgramBuilder::finish(Kernel kernel, Program** program) {
  *program = nullptr;
  if (!impl_) return no_memory();
  Program::Impl* impl = impl_;
  impl->kernel = kernel == Kernel::automatic ? best_kernel() : kernel;
  impl->kernels = find_kernels(impl->kernel);
  if (!impl->kernels)
    return failure(StatusCode::unsupported_kernel,
                   "this processor or build lacks the '%s' kernel; choose auto or portable", kernel_name(kernel));
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
