// ExecuTorch backend "BitsrBackend": checks what the framework hands over, and lets the core run the program blob.
//
// Options, by precedence: the load-time or backend option "kernel" (auto, or the name of an instruction set of
// bitsr/isa.h), then the environment variable BITSR_KERNEL. Threads come from ExecuTorch's pool, which XNNPACK uses
// too.

#include <executorch/extension/threadpool/threadpool_guard.h>
#include <executorch/runtime/backend/interface.h>
#include <executorch/runtime/core/event_tracer_hooks_delegate.h>
#include <executorch/runtime/core/exec_aten/util/dim_order_util.h>
#include <executorch/runtime/core/exec_aten/util/tensor_util.h>
#include <executorch/runtime/kernel/thread_parallel_interface.h>
#include <executorch/runtime/platform/log.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <new>
#include <variant>

#include "bitsr/builder.h"

namespace {

namespace et = executorch::runtime;
using et::Error;
using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::aten::Tensor;

constexpr char kBackendId[] = "BitsrBackend";
constexpr char kKernelOption[] = "kernel";
constexpr char kKernelVariable[] = "BITSR_KERNEL";

Error to_error(bitsr::StatusCode code) {
  switch (code) {
    case bitsr::StatusCode::ok:
      return Error::Ok;
    case bitsr::StatusCode::invalid_program:
    case bitsr::StatusCode::newer_version:
      return Error::DelegateInvalidCompatibility;
    case bitsr::StatusCode::invalid_argument:
      return Error::InvalidArgument;
    case bitsr::StatusCode::out_of_memory:
      return Error::MemoryAllocationFailed;
    case bitsr::StatusCode::unsupported_isa:
      return Error::NotSupported;
    case bitsr::StatusCode::cancelled:  // no gate is given here
      break;
  }
  return Error::Internal;
}

Error report(const bitsr::Status& status) {
  if (!status.ok()) ET_LOG(Error, "%s: %s", kBackendId, status.message);
  return to_error(status.code);
}

Error parse_kernel_option(const char* name, const char* source, bitsr::Isa* isa) {
  if (bitsr::parse_isa(name, isa)) return Error::Ok;
  ET_LOG(Error, "%s: %s is '%s'; expected one of auto, %s", kBackendId, source, name, bitsr::isa_names().text);
  return Error::InvalidArgument;
}

struct ProgramDeleter {
  void operator()(bitsr::Program* program) const { bitsr::Program::destroy(program); }
};

struct FreeDeleter {
  void operator()(void* memory) const { std::free(memory); }
};

template <typename T>
using Array = std::unique_ptr<T[], FreeDeleter>;

template <typename T>
Array<T> allocate(size_t count) {
  return Array<T>(static_cast<T*>(std::calloc(count, sizeof(T))));
}

// Name of a profiling event; BitsrBackend.preprocess writes the same names into the debug handle map.
struct EventName {
  char text[48];
};

// One loaded partition.
struct Delegate {
  std::unique_ptr<bitsr::Program, ProgramDeleter> program;
  Array<bitsr::TensorView> inputs;
  Array<bitsr::TensorView> outputs;
  Array<bitsr::Shape> shapes;
  Array<EventName> events;
};

void parallel_run(void*, int64_t count, void (*task)(void*, int64_t, int64_t), void* arg) {
  executorch::extension::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) { task(arg, begin, end); });
}

struct Trace {
  et::EventTracer* tracer;
  const EventName* events;
  et::EventTracerEntry entry;
  Error error;
};

void trace_begin(void* context, int32_t op, const char*) {
  auto* trace = static_cast<Trace*>(context);
  trace->entry =
      et::event_tracer_start_profiling_delegate(trace->tracer, trace->events[op].text, et::kUnsetDelegateDebugIntId);
}

void trace_end(void* context, int32_t) {
  auto* trace = static_cast<Trace*>(context);
  et::event_tracer_end_profiling_delegate(trace->tracer, trace->entry);
}

// Logs a result of an op as "OP NAME/OUTPUT", a dense (1, C, H, W) tensor, for tracers that want intermediate outputs.
void trace_result(void* context, int32_t op, int32_t output, const bitsr::StridedView& result) {
  auto* trace = static_cast<Trace*>(context);
  const Array<float> values = allocate<float>(size_t(result.c) * size_t(result.h) * size_t(result.w));
  if (!values) {
    trace->error = Error::MemoryAllocationFailed;
    return;
  }
  bitsr::copy_dense(result, values.get());
  SizesType sizes[4] = {1, SizesType(result.c), SizesType(result.h), SizesType(result.w)};
  executorch::aten::DimOrderType order[4] = {0, 1, 2, 3};
  executorch::aten::StridesType strides[4] = {sizes[1] * sizes[2] * sizes[3], sizes[2] * sizes[3], sizes[3], 1};
  executorch::aten::TensorImpl impl(ScalarType::Float, 4, sizes, values.get(), order, strides);
  char name[sizeof(EventName::text) + 16];
  std::snprintf(name, sizeof(name), "%s/%d", trace->events[op].text, int(output));
  et::event_tracer_log_output_delegate(trace->tracer, name, et::kUnsetDelegateDebugIntId, Tensor(&impl));
}

// A view of a dense tensor of float32, or of uint8 for pixels: a map (N, C, H, W) in either layout, or a vector (N, C)
// or (C). Whether it may be of pixels the core knows.
Error view_of(const et::EValue& value, const char* role, int32_t index, bitsr::TensorView* view) {
  if (!value.isTensor()) {
    ET_LOG(Error, "%s: %s %d is no tensor", kBackendId, role, int(index));
    return Error::InvalidArgument;
  }
  const Tensor& tensor = value.toTensor();
  const bool pixels = tensor.scalar_type() == ScalarType::Byte;
  if (tensor.scalar_type() != ScalarType::Float && !pixels) {
    ET_LOG(Error, "%s: %s %d has the scalar type %d, expected float32 or uint8", kBackendId, role, int(index),
           int(tensor.scalar_type()));
    return Error::InvalidArgument;
  }
  const auto order = tensor.dim_order();
  const auto has_order = [&](std::initializer_list<int> expected) {
    size_t i = 0;
    for (const int dim : expected) {
      if (order[i++] != dim) return false;
    }
    return true;
  };
  void* const data = const_cast<void*>(tensor.const_data_ptr());
  view->data = pixels ? nullptr : static_cast<float*>(data);
  view->pixels = pixels ? static_cast<uint8_t*>(data) : nullptr;
  view->layout = bitsr::Layout::nchw;
  view->n = view->c = view->h = view->w = 1;
  switch (tensor.dim()) {
    case 1:
      view->c = tensor.size(0);
      return Error::Ok;
    case 2:
      view->n = tensor.size(0);
      view->c = tensor.size(1);
      if (has_order({0, 1})) return Error::Ok;
      break;
    case 4:
      view->n = tensor.size(0);
      view->c = tensor.size(1);
      view->h = tensor.size(2);
      view->w = tensor.size(3);
      if (has_order({0, 1, 2, 3})) return Error::Ok;
      if (has_order({0, 2, 3, 1})) {
        view->layout = bitsr::Layout::nhwc;
        return Error::Ok;
      }
      break;
    default:
      ET_LOG(Error, "%s: %s %d has %d dimensions, expected 1, 2 or 4", kBackendId, role, int(index), int(tensor.dim()));
      return Error::InvalidArgument;
  }
  ET_LOG(Error, "%s: %s %d has neither the NCHW nor the NHWC dimension order", kBackendId, role, int(index));
  return Error::InvalidArgument;
}

// Gives an output tensor its size for this run; it fails beyond the maximum that the model was exported for.
Error resize(Tensor& tensor, const bitsr::Shape& shape, int32_t index) {
  const SizesType map[4] = {SizesType(shape.n), SizesType(shape.c), SizesType(shape.h), SizesType(shape.w)};
  const auto rank = size_t(tensor.dim());
  const SizesType* sizes = rank == 1 ? map + 1 : map;
  const Error error = et::resize_tensor(tensor, {sizes, rank});
  if (error != Error::Ok) {
    ET_LOG(Error, "%s: output %d can not hold %d x %d x %d values; export the model for larger pictures or use tiles",
           kBackendId, int(index), int(shape.c), int(shape.h), int(shape.w));
  }
  return error;
}

class Backend final : public et::BackendInterface {
 public:
  bool is_available() const override { return true; }

  et::Result<et::DelegateHandle*> init(et::BackendInitContext& context, et::FreeableBuffer* processed,
                                       et::ArrayRef<et::CompileSpec>) const override {
    bitsr::Isa isa = bitsr::Isa::automatic;
    if (const Error error = wanted_isa(context, &isa); error != Error::Ok) return error;
    bitsr::Program* loaded = nullptr;
    const Error error = report(bitsr::Program::load(processed->data(), processed->size(), isa, &loaded));
    processed->Free();  // the core has copied what it needs
    if (error != Error::Ok) return error;

    std::unique_ptr<Delegate> delegate(new (std::nothrow) Delegate());
    if (delegate == nullptr) {
      bitsr::Program::destroy(loaded);
      return Error::MemoryAllocationFailed;
    }
    delegate->program.reset(loaded);
    delegate->inputs = allocate<bitsr::TensorView>(loaded->input_count());
    delegate->outputs = allocate<bitsr::TensorView>(loaded->output_count());
    delegate->shapes = allocate<bitsr::Shape>(loaded->output_count());
    delegate->events = allocate<EventName>(loaded->op_count());
    if (!delegate->inputs || !delegate->outputs || !delegate->shapes || !delegate->events) {
      return Error::MemoryAllocationFailed;
    }
    for (int32_t op = 0; op < loaded->op_count(); ++op) {
      EventName& name = delegate->events[op];
      std::snprintf(name.text, sizeof(name.text), "%d %s", int(op), loaded->op_name(op));
    }
    ET_LOG(Debug, "%s: %d ops on the %s kernel", kBackendId, int(loaded->op_count()), bitsr::isa_name(loaded->isa()));
    return delegate.release();
  }

  Error execute(et::BackendExecutionContext& context, et::DelegateHandle* handle,
                et::Span<et::EValue*> args) const override {
    auto* delegate = static_cast<Delegate*>(handle);
    const int32_t inputs = delegate->program->input_count();
    const int32_t outputs = delegate->program->output_count();
    if (args.size() != size_t(inputs) + size_t(outputs)) {
      ET_LOG(Error, "%s: %d arguments, expected %d inputs and %d outputs", kBackendId, int(args.size()), int(inputs),
             int(outputs));
      return Error::InvalidArgument;
    }
    for (int32_t i = 0; i < inputs; ++i) {
      const Error error = view_of(*args[i], "input", i, &delegate->inputs[i]);
      if (error != Error::Ok) return error;
    }
    Error error = report(delegate->program->output_shapes(delegate->inputs.get(), delegate->shapes.get()));
    if (error != Error::Ok) return error;
    for (int32_t i = 0; i < outputs; ++i) {
      et::EValue& value = *args[inputs + i];
      error = view_of(value, "output", i, &delegate->outputs[i]);
      if (error == Error::Ok) error = resize(value.toTensor(), delegate->shapes[i], i);
      if (error == Error::Ok) error = view_of(value, "output", i, &delegate->outputs[i]);
      if (error != Error::Ok) return error;
    }
    Trace trace{context.event_tracer(), delegate->events.get(), {}, Error::Ok};
    bitsr::RunOptions options;
    // The calling thread alone where ExecuTorch is told so, without a look at its pool.
    if (!executorch::extension::threadpool::NoThreadPoolGuard::is_enabled()) options.parallel.run = parallel_run;
    if (trace.tracer != nullptr) {
      options.profiler = {&trace, trace_begin, trace_end};
      if (trace.tracer->event_tracer_debug_level() == et::EventTracerDebugLogLevel::kIntermediateOutputs) {
        options.observer = {&trace, trace_result};
      }
    }
    error = report(delegate->program->run(delegate->inputs.get(), delegate->outputs.get(), options));
    return error != Error::Ok ? error : trace.error;
  }

  Error set_option(et::BackendOptionContext&, const et::Span<et::BackendOption>& options) override {
    for (const et::BackendOption& option : options) {
      if (std::strcmp(option.key, kKernelOption) != 0) {
        ET_LOG(Error, "%s: unknown option '%s'; expected '%s'", kBackendId, option.key, kKernelOption);
        return Error::InvalidArgument;
      }
      const auto* text = std::get_if<std::array<char, et::kMaxOptionValueLength>>(&option.value);
      if (text == nullptr) {
        ET_LOG(Error, "%s: the option '%s' is no text", kBackendId, kKernelOption);
        return Error::InvalidArgument;
      }
      bitsr::Isa isa = bitsr::Isa::automatic;
      if (const Error error = parse_kernel_option(text->data(), "the option 'kernel'", &isa); error != Error::Ok) {
        return error;
      }
      option_isa_.store(int(isa));
    }
    return Error::Ok;
  }

  void destroy(et::DelegateHandle* handle) const override { delete static_cast<Delegate*>(handle); }

 private:
  Error wanted_isa(const et::BackendInitContext& context, bitsr::Isa* isa) const {
    const auto spec = context.get_runtime_spec<const char*>(kKernelOption);
    if (spec.ok()) return parse_kernel_option(spec.get(), "the load option 'kernel'", isa);
    if (spec.error() != Error::NotFound) return spec.error();
    if (const int option = option_isa_.load(); option != kUnset) {
      *isa = bitsr::Isa(option);
      return Error::Ok;
    }
    const char* variable = std::getenv(kKernelVariable);
    if (variable == nullptr || *variable == '\0') return Error::Ok;
    return parse_kernel_option(variable, kKernelVariable, isa);
  }

  static constexpr int kUnset = -1;
  std::atomic<int> option_isa_{kUnset};
};

Backend backend;
// A second copy of this library is refused by the registry with a logged error; the first one stays in use.
[[maybe_unused]] const Error registered = et::register_backend({kBackendId, &backend});

}  // namespace
