// A .pte in ExecuTorch, by its Program and Method: the memory plan's arenas are mapped, not touched, so that a model
// that was exported for large pictures costs only what the picture at hand needs.
#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/extension/threadpool/threadpool_guard.h>
#include <executorch/runtime/backend/backend_options_map.h>
#include <executorch/runtime/backend/interface.h>
#include <executorch/runtime/executor/program.h>
#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

#include <cstring>
#include <mutex>
#include <optional>
#include <vector>

#include "event_recorder.h"
#include "pte_library.h"
#include "pte_method.h"

// The package ships the library but not this header of it; the declarations are those of ExecuTorch 1.5.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(uint32_t count);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace bitsr {
namespace {

namespace et = executorch::runtime;
using et::Error;
using executorch::extension::BufferDataLoader;

constexpr char kMethod[] = "forward";
constexpr char kBackend[] = "BitsrBackend";

// The framework says why something failed in its log. While this thread is in one of our calls, the last error becomes
// part of ours; everything else goes where the log of the process went before.
thread_local char last_error[320];
thread_local bool listening = false;
decltype(et::PalImpl::emit_log_message) log_of_process;

void keep_errors(et_timestamp_t time, et_pal_log_level_t level, const char* file, const char* function, size_t line,
                 const char* message, size_t size) {
  if (!listening) {
    if (log_of_process != nullptr) log_of_process(time, level, file, function, line, message, size);
    return;
  }
  if (level != kError && level != kFatal) return;
  const size_t kept = size < sizeof(last_error) - 1 ? size : sizeof(last_error) - 1;
  std::memcpy(last_error, message, kept);
  last_error[kept] = '\0';
}

class Listening {
 public:
  Listening() {
    last_error[0] = '\0';
    listening = true;
  }
  ~Listening() { listening = false; }
};

Outcome error_of(ErrorKind kind, const char* what, const std::string& path, Error error) {
  const char* why = last_error[0] != '\0' ? last_error : "no reason is given";
  if (error == Error::MemoryAllocationFailed) kind = ErrorKind::memory;
  return failed(kind, "ExecuTorch %s %s: %s (0x%x)", what, path.c_str(), why, static_cast<unsigned>(error));
}

void start_runtime() {
  static std::once_flag once;
  std::call_once(once, [] {
    et::runtime_init();
    const et::PalImpl* pal = et::get_pal_impl();
    // Where the host has a log of its own our errors do without the reason.
    if (pal->emit_log_message != et_pal_emit_log_message) return;
    log_of_process = pal->emit_log_message;
    et::register_pal(et::PalImpl::create(keep_errors, __FILE__));
  });
}

// ExecuTorch has one pool for the whole process. Networks of one thread do not touch it; the others are counted,
// because it must not change under them.
class Pool {
 public:
  static Pool& of_process() {
    static Pool pool;
    return pool;
  }
  // For a network of several threads: how many there are.
  Outcome join(int32_t* threads) {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto* pool = executorch::extension::threadpool::get_threadpool();
    if (pool == nullptr) return failed(ErrorKind::unsupported, "ExecuTorch has no thread pool; use 1 thread");
    *threads = static_cast<int32_t>(pool->get_thread_count());
    ++users_;
    return {};
  }
  void leave() {
    const std::lock_guard<std::mutex> lock(mutex_);
    --users_;
  }
  Outcome resize(int32_t threads) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (users_ > 0)
      return failed(
          ErrorKind::argument,
          "ExecuTorch's pool is in use by %d sessions of several threads; set its size before they are opened", users_);
    auto* pool = executorch::extension::threadpool::get_threadpool();
    const auto wanted = static_cast<uint32_t>(threads);
    if (pool == nullptr || (pool->get_thread_count() != wanted && !pool->_unsafe_reset_threadpool(wanted)))
      return failed(ErrorKind::unsupported, "ExecuTorch does not take %d threads", threads);
    return {};
  }

 private:
  std::mutex mutex_;
  int32_t users_ = 0;
};

// On the calling thread alone, for as long as it lives: the guard of ExecuTorch, where it is wanted.
class OneThread {
 public:
  explicit OneThread(bool wanted) {
    if (wanted) guard_.emplace();
  }

 private:
  std::optional<executorch::extension::threadpool::NoThreadPoolGuard> guard_;
};

class PteNetwork final : public Network {
 public:
  ~PteNetwork() override {
    if (in_pool_) Pool::of_process().leave();
  }
  Outcome open(Bytes file, const NetworkOptions& options);
  // On Android the caller's library has a C++ runtime of its own, which knows nothing of what is thrown here.
  Outcome set_input(const float* nchw, const Shape& shape) override {
    return guarded([&] { return take_input(nchw, shape); });
  }
  Outcome execute(const RunHooks& hooks, RunTime* time) override {
    return guarded([&] { return run_method(hooks, time); });
  }
  Outcome get_output(float* nchw) const override;

 private:
  Outcome take_input(const float* nchw, const Shape& shape);
  Outcome run_method(const RunHooks& hooks, RunTime* time);
  Outcome load(EventRecorder* recorder, std::unique_ptr<LoadedMethod>* loaded) const;
  Outcome read_inputs(const et::MethodMeta& meta);
  Outcome give_inputs(et::Method* method);
  Outcome run_loaded(LoadedMethod* loaded, const RunHooks& hooks, RunTime* time);
  Outcome rewind();
  Outcome read_output_shape();
  Outcome observe(const RunHooks& hooks);

  std::string path_;
  Isa isa_ = Isa::automatic;
  Bytes content_;
  std::optional<BufferDataLoader> loader_;
  std::optional<et::Program> program_;
  std::unique_ptr<LoadedMethod> loaded_;
  bool in_pool_ = false;  // it has more than one thread
  MapForm form_;
  std::vector<TensorForm> forms_;  // of all inputs; the map's has the sides of the last set_input()
  Bytes input_;
};

bool is_map_type(executorch::aten::ScalarType type) {
  return type == executorch::aten::ScalarType::Float || type == executorch::aten::ScalarType::Byte;
}

// The layout of a tensor of four dimensions. False: another one.
template <typename Order>
bool is_layout(const Order& order, bool* nhwc) {
  if (order.size() != 4 || order[0] != 0) return false;
  *nhwc = order[1] == 2 && order[2] == 3 && order[3] == 1;
  return *nhwc || (order[1] == 1 && order[2] == 2 && order[3] == 3);
}

Outcome PteNetwork::open(Bytes file, const NetworkOptions& options) {
  start_runtime();
  const Listening listener;
  path_ = options.path;
  isa_ = options.isa;
  content_ = std::move(file);
  runtime = "executorch";
  runtime_version = BITSR_EXECUTORCH_VERSION;
  if (options.threads > 1) {
    BITSR_TRY(Pool::of_process().join(&threads));
    in_pool_ = true;
  }
  loader_.emplace(content_.data(), content_.size());
  et::Result<et::Program> program = et::Program::load(&*loader_, et::Program::Verification::InternalConsistency);
  if (!program.ok()) return error_of(ErrorKind::format, "does not read", path_, program.error());
  program_.emplace(std::move(*program));
  const et::Result<et::MethodMeta> meta = program_->method_meta(kMethod);
  if (!meta.ok()) return error_of(ErrorKind::model, "finds no method 'forward' in", path_, meta.error());
  BITSR_TRY(read_inputs(*meta));
  return load(nullptr, &loaded_);
}

Outcome PteNetwork::read_inputs(const et::MethodMeta& meta) {
  using executorch::aten::ScalarType;
  if (meta.num_inputs() < 1 || meta.num_outputs() != 1)
    return failed(ErrorKind::model, "%s has %zu inputs and %zu outputs, expected at least 1, and 1", path_.c_str(),
                  meta.num_inputs(), meta.num_outputs());
  for (size_t i = 0; i < meta.num_inputs(); ++i) {
    const auto tensor = meta.input_tensor_meta(i);
    if (!tensor.ok()) return error_of(ErrorKind::model, "has no input tensor in", path_, tensor.error());
    forms_.emplace_back(*tensor);
    const ScalarType type = forms_[i].type;
    if (i == 0) continue;
    if (type != ScalarType::Float && type != ScalarType::Long)
      return failed(ErrorKind::model, "input %zu of %s is neither float32 nor int64; export it by bitsr", i,
                    path_.c_str());
    others.push_back({type == ScalarType::Float ? ElementType::float32 : ElementType::int64, forms_[i].count()});
  }
  const TensorForm& map = forms_[0];
  if (map.sizes.size() != 4 || !is_map_type(map.type) || !is_layout(map.order, &form_.nhwc))
    return failed(ErrorKind::model, "%s takes no map (N, C, H, W) of float32 or uint8; %s", path_.c_str(),
                  kRunElsewhere);
  form_.pixels = map.type == ScalarType::Byte;
  input = {map.sizes[0], map.sizes[1], 0, 0};
  max_pixels = static_cast<int64_t>(map.sizes[2]) * map.sizes[3];
  return {};
}

Outcome PteNetwork::load(EventRecorder* recorder, std::unique_ptr<LoadedMethod>* loaded) const {
  const OneThread alone(!in_pool_);  // XNNPACK keeps the pool that it finds here
  auto made = std::make_unique<LoadedMethod>();
  const et::Result<et::MethodMeta> meta = program_->method_meta(kMethod);
  for (size_t i = 0; i < meta->num_memory_planned_buffers(); ++i) {
    const et::Result<int64_t> size = meta->memory_planned_buffer_size(i);
    if (!size.ok() || *size < 0) return error_of(ErrorKind::model, "has no memory plan in", path_, size.error());
    made->arenas.emplace_back(static_cast<size_t>(*size));
    made->spans.push_back(made->arenas.back().span());
  }
  made->planned.emplace(et::Span<et::Span<uint8_t>>(made->spans.data(), made->spans.size()));
  made->manager.emplace(&made->method_memory, &*made->planned, &made->temporary);
  et::BackendOptions<1> kernel;
  et::LoadBackendOptionsMap options;
  if (kernel.set_option("kernel", isa_name(isa_)) != Error::Ok ||
      options.set_options(kBackend, kernel.view()) != Error::Ok)
    return failed(ErrorKind::runtime, "ExecuTorch does not take the option 'kernel'");
  et::Result<et::Method> method = program_->load_method(kMethod, &*made->manager, recorder, nullptr, &options);
  if (!method.ok()) return error_of(ErrorKind::model, "does not load", path_, method.error());
  made->method.emplace(std::move(*method));
  *loaded = std::move(made);
  return {};
}

Outcome PteNetwork::take_input(const float* nchw, const Shape& shape) {
  if (shape.n != input.n || shape.c != input.c || shape.h < 1 || shape.w < 1 || shape.h * shape.w > max_pixels)
    return failed(ErrorKind::argument, "%s takes %lldx%lldxHxW of at most %lld pixels, got %lldx%lldx%lldx%lld",
                  path_.c_str(), static_cast<long long>(input.n), static_cast<long long>(input.c),
                  static_cast<long long>(max_pixels), static_cast<long long>(shape.n), static_cast<long long>(shape.c),
                  static_cast<long long>(shape.h), static_cast<long long>(shape.w));
  input_.resize(form_.bytes(shape));
  give_map(nchw, shape, form_, input_.data());
  using executorch::aten::SizesType;
  forms_[0].sizes = {SizesType(shape.n), SizesType(shape.c), SizesType(shape.h), SizesType(shape.w)};
  return {};
}

// The plan may have used the inputs' memory for something else since the last run.
Outcome PteNetwork::give_inputs(et::Method* method) {
  for (size_t i = 0; i < forms_.size(); ++i) {
    void* data = i == 0 ? static_cast<void*>(input_.data()) : other_values[i - 1].data();
    const Error error = give_tensor(method, i, forms_[i], data);
    if (error != Error::Ok) return error_of(ErrorKind::argument, "does not take the input of", path_, error);
  }
  return {};
}

Outcome PteNetwork::run_loaded(LoadedMethod* loaded, const RunHooks& hooks, RunTime* time) {
  et::Method* method = &*loaded->method;
  const OneThread alone(!in_pool_);
  BITSR_TRY(give_inputs(method));
  const Stopwatch watch;
  Error error = Error::Ok;
  if (hooks.proceed == nullptr) {
    error = method->execute();
  } else {
    while (error == Error::Ok) {
      if (stopped(hooks)) return cancelled();
      loaded->stepping = true;
      error = method->step();
    }
    if (error == Error::EndOfMethod) error = method->reset_execution();
    if (error == Error::Ok) loaded->stepping = false;
  }
  *time = watch.elapsed();
  return error == Error::Ok ? Outcome{} : error_of(ErrorKind::runtime, "failed on", path_, error);
}

// After a run by steps that was cancelled or failed the method goes to its start. It can do so from its end only; one
// that stands elsewhere is loaded anew.
Outcome PteNetwork::rewind() {
  if (!loaded_->stepping) return {};
  if (loaded_->method->reset_execution() != Error::Ok) return load(nullptr, &loaded_);
  loaded_->stepping = false;
  return {};
}

Outcome PteNetwork::read_output_shape() {
  const et::EValue& value = loaded_->method->get_output(0);
  bool nhwc = false;
  if (!value.isTensor() || !is_map_type(value.toTensor().scalar_type()) ||
      !is_layout(value.toTensor().dim_order(), &nhwc))
    return failed(ErrorKind::model, "%s gives no map (N, C, H, W) of float32 or uint8; %s", path_.c_str(),
                  kRunElsewhere);
  const executorch::aten::Tensor& tensor = value.toTensor();
  output = {tensor.size(0), tensor.size(1), tensor.size(2), tensor.size(3)};
  return {};
}

// A tracer belongs to a method from its loading on, and costs time: runs that are looked at have a method of their own.
Outcome PteNetwork::observe(const RunHooks& hooks) {
  EventRecorder recorder;
  std::unique_ptr<LoadedMethod> traced;
  BITSR_TRY(load(&recorder, &traced));
  RunTime time;
  BITSR_TRY(run_loaded(traced.get(), {}, &time));  // it allocates
  recorder.record(&hooks);
  BITSR_TRY(run_loaded(traced.get(), {}, &time));
  if (hooks.profile != nullptr) recorder.report(hooks);
  return {};
}

Outcome PteNetwork::run_method(const RunHooks& hooks, RunTime* time) {
  const Listening listener;
  if (input_.empty()) return failed(ErrorKind::argument, "%s has no input yet", path_.c_str());
  BITSR_TRY(check_others(path_));
  output = {};  // stays so if the run does not succeed: the tensor then has another size, or no result
  if (hooks.profile != nullptr || hooks.result != nullptr) BITSR_TRY(observe(hooks));
  BITSR_TRY(rewind());
  BITSR_TRY(run_loaded(loaded_.get(), hooks, time));
  return read_output_shape();
}

Outcome PteNetwork::get_output(float* nchw) const {
  const executorch::aten::Tensor& tensor = loaded_->method->get_output(0).toTensor();
  MapForm form;
  is_layout(tensor.dim_order(), &form.nhwc);
  form.pixels = tensor.scalar_type() == executorch::aten::ScalarType::Byte;
  take_map(tensor.const_data_ptr(), output, form, nchw);
  return {};
}

Outcome open_network(Bytes content, const NetworkOptions& options, std::unique_ptr<Network>* network) {
  return guarded([&]() -> Outcome {
    auto opened = std::make_unique<PteNetwork>();
    BITSR_TRY(opened->open(std::move(content), options));
    *network = std::move(opened);
    return {};
  });
}

Outcome set_threads(int32_t threads) {
  return guarded([&] {
    const Listening listener;
    start_runtime();
    return Pool::of_process().resize(threads);
  });
}

constexpr PteLibrary kLibrary = {BITSR_VERSION, open_network, set_threads};

}  // namespace

}  // namespace bitsr

extern "C" __attribute__((visibility("default"))) const bitsr::PteLibrary* bitsr_pte_library() {
  return &bitsr::kLibrary;
}
