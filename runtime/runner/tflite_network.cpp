// A .tflite in LiteRT's CompiledModel, with our delegate as an accelerator beside XNNPACK.
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "litert.h"
#include "network.h"

struct TfLiteDelegate;

namespace bitsr {
namespace {

using litert::Handle;

constexpr char kMetadata[] = "bitsr";  // export/tflite/container.py
#if defined(__APPLE__)
constexpr char kLiteRt[] = "libLiteRt.dylib", kDelegate[] = "libbitsr_tflite.dylib";
#else
constexpr char kLiteRt[] = "libLiteRt.so", kDelegate[] = "libbitsr_tflite.so";
#endif

// The exports of runtime/tflite/delegate.h.
struct DelegateLibrary {
  TfLiteDelegate* (*create)(const char* const*, const char* const*, size_t, void (*)(const char*)) = nullptr;
  void (*destroy)(TfLiteDelegate*) = nullptr;
  void (*watch)(TfLiteDelegate*, const Profiler*, const Observer*) = nullptr;
};

thread_local char delegate_error[256];
void keep_error(const char* message) { std::snprintf(delegate_error, sizeof(delegate_error), "%s", message); }

// What the C callbacks of the accelerator and of the delegate need; it lives as long as the network.
struct Delegate {
  const litert::Api* api = nullptr;
  DelegateLibrary library;
  TfLiteDelegate* made = nullptr;
  Kernel kernel = Kernel::automatic;
  int32_t threads = 1;
};

litert::Status accelerator_name(Handle, const char** name) {
  *name = "bitsr";
  return 0;
}

litert::Status accelerator_version(Handle, litert::Version* version) {
  *version = {1, 0, 0};
  return 0;
}

litert::Status accelerator_hardware(Handle, int* hardware) {
  *hardware = litert::kCpu;
  return 0;
}

// The function of an accelerator gets no pointer of ours on every version, and is called inside CreateCompiledModel.
thread_local Delegate* delegate_in_creation;
thread_local void (*destroy_function)(TfLiteDelegate*);

void destroy_delegate(void* delegate) { destroy_function(static_cast<TfLiteDelegate*>(delegate)); }

litert::Status make_delegate(void*, Handle, Handle, Handle, Handle* wrapper) {
  Delegate* ours = delegate_in_creation;
  if (ours == nullptr) return 1;
  char threads[16];
  std::snprintf(threads, sizeof(threads), "%d", ours->threads);
  const char* keys[] = {"kernel", "threads"};
  const char* values[] = {kernel_name(ours->kernel), threads};
  ours->made = ours->library.create(keys, values, 2, keep_error);
  return ours->made == nullptr ? 1 : ours->api->WrapDelegate(ours->made, destroy_delegate, wrapper);
}

// One watched run: the delegate's events become calls of the hooks.
struct Watch {
  const RunHooks* hooks = nullptr;
  int32_t partition = -1;
  double ours_ms = 0;
  std::string name;
  Clock::time_point start{};
};

void op_begins(void* context, int32_t op, const char* name) {
  auto* watch = static_cast<Watch*>(context);
  if (op == 0) ++watch->partition;
  watch->name = name;
  watch->start = Clock::now();
}

void op_ends(void* context, int32_t op) {
  auto* watch = static_cast<Watch*>(context);
  const double ms = ms_since(watch->start);
  watch->ours_ms += ms;
  if (watch->hooks->profile == nullptr) return;
  const std::string name = std::to_string(watch->partition) + "/" + std::to_string(op) + " " + watch->name;
  watch->hooks->profile(watch->hooks->context, {name.c_str(), "bitsr", ms});
}

void op_result(void* context, int32_t op, int32_t output, const OpResult& result) {
  const auto* watch = static_cast<const Watch*>(context);
  watch->hooks->result(watch->hooks->context, watch->partition, op, watch->name.c_str(), output, result);
}

class TfliteNetwork final : public Network {
 public:
  ~TfliteNetwork() override;
  Outcome open(Bytes file, const NetworkOptions& options);
  Outcome set_input(const float* nchw, const Shape& shape) override;
  Outcome execute(const RunHooks& hooks, RunTime* time) override;
  Outcome get_output(float* nchw) const override;

 private:
  Outcome open_delegate(const std::string& library);
  Outcome read_input();
  Outcome compile();
  Outcome resize(const Shape& shape);
  Outcome observe(const RunHooks& hooks);
  Outcome call(litert::Status status, const char* what) const;

  std::string path_;
  Bytes content_;
  litert::Api api_{};
  Delegate delegate_;
  Handle environment_ = nullptr, model_ = nullptr, options_ = nullptr, compiled_ = nullptr;
  Handle in_ = nullptr, out_ = nullptr;
  Shape input_shape_{}, output_shape_{};  // of the buffers
};

Outcome TfliteNetwork::call(litert::Status status, const char* what) const {
  if (status == 0) return {};
  return failed(ErrorKind::model, "LiteRT %s %s (status %d)%s%s; export the model again", what, path_.c_str(), status,
                delegate_error[0] != '\0' ? ": " : "", delegate_error);
}

TfliteNetwork::~TfliteNetwork() {
  destroy_function = delegate_.library.destroy;
  if (in_ != nullptr) api_.DestroyTensorBuffer(in_);
  if (out_ != nullptr) api_.DestroyTensorBuffer(out_);
  if (compiled_ != nullptr) api_.DestroyCompiledModel(compiled_);
  if (options_ != nullptr) api_.DestroyOptions(options_);
  if (model_ != nullptr) api_.DestroyModel(model_);
  if (environment_ != nullptr) api_.DestroyEnvironment(environment_);
}

Outcome TfliteNetwork::open_delegate(const std::string& name) {
  const std::string path = name.empty() ? kDelegate : name;
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return failed(ErrorKind::unsupported, "the delegate does not load: %s; build it with `make build`, or pass its path", dlerror());
  const auto find = [library](auto& function, const char* symbol) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, symbol));
    return function != nullptr;
  };
  if (!find(delegate_.library.create, "tflite_plugin_create_delegate") ||
      !find(delegate_.library.destroy, "tflite_plugin_destroy_delegate") || !find(delegate_.library.watch, "bitsr_tflite_watch"))
    return failed(ErrorKind::unsupported, "%s is no delegate of this version of bitsr; build it again", path.c_str());
  return {};
}

Outcome TfliteNetwork::open(Bytes file, const NetworkOptions& options) {
  delegate_error[0] = '\0';
  path_ = options.path;
  content_ = std::move(file);
  runtime = "litert";
  runtime_version = BITSR_LITERT_VERSION;
  BITSR_TRY(litert::open(options.litert_library.empty() ? kLiteRt : options.litert_library, &api_));
  BITSR_TRY(open_delegate(options.delegate_library));
  delegate_.api = &api_;
  delegate_.kernel = options.kernel;
  delegate_.threads = options.threads;
  // Without them LiteRT looks for the drivers of other processors, and says so.
  const litert::EnvironmentOption settings[] = {{litert::kAutoRegisterAccelerators, 0, litert::kInteger, litert::kCpu},
                                                {litert::kMinLoggerSeverity, 0, litert::kInteger, litert::kErrorsOnly}};
  BITSR_TRY(call(api_.CreateEnvironment(2, settings, &environment_), "does not start for"));
  BITSR_TRY(call(api_.CreateModelFromBuffer(environment_, content_.data(), content_.size(), &model_), "does not read"));
  const void* metadata = nullptr;
  size_t size = 0;
  if (api_.GetModelMetadata(model_, kMetadata, &metadata, &size) == 0 && metadata != nullptr)
    sidecar.assign(static_cast<const char*>(metadata), size);
  BITSR_TRY(read_input());
  return compile();
}

Outcome TfliteNetwork::read_input() {
  Handle signature = nullptr, tensor = nullptr;
  litert::TensorType type{};
  size_t signatures = 0, inputs = 0, outputs = 0;
  BITSR_TRY(call(api_.GetNumModelSignatures(model_, &signatures), "does not read"));
  if (signatures == 0) return failed(ErrorKind::model, "%s has no signature; export it by bitsr", path_.c_str());
  BITSR_TRY(call(api_.GetModelSignature(model_, 0, &signature), "does not read"));
  BITSR_TRY(call(api_.GetNumSignatureInputs(signature, &inputs), "does not read"));
  BITSR_TRY(call(api_.GetNumSignatureOutputs(signature, &outputs), "does not read"));
  if (inputs != 1 || outputs != 1)
    return failed(ErrorKind::model, "%s has %zu inputs and %zu outputs, expected 1 and 1", path_.c_str(), inputs, outputs);
  BITSR_TRY(call(api_.GetSignatureInputTensorByIndex(signature, 0, &tensor), "does not read"));
  BITSR_TRY(call(api_.GetRankedTensorType(tensor, &type), "does not read"));
  const int32_t* sides = type.layout.dimensions;
  if (type.layout.rank != 4 || type.element != litert::kFloat32)
    return failed(ErrorKind::model, "%s takes no float32 map (N, H, W, C); export it by bitsr", path_.c_str());
  const auto fixed = [](int32_t side) { return side > 0 ? side : 0; };
  input = {sides[0] > 0 ? sides[0] : 1, sides[3], fixed(sides[1]), fixed(sides[2])};
  return {};
}

Outcome TfliteNetwork::compile() {
  // LiteRT takes the text over, and frees it.
  const std::string threads = "num_threads = " + std::to_string(delegate_.threads) + "\n";
  char* payload = strdup(threads.c_str());
  if (payload == nullptr) throw std::bad_alloc();
  Handle xnnpack = nullptr, accelerator = nullptr;
  BITSR_TRY(call(api_.CreateOptions(&options_), "makes no options for"));
  BITSR_TRY(call(api_.SetOptionsHardwareAccelerators(options_, litert::kCpu), "has no processor for"));
  BITSR_TRY(call(api_.CreateOpaqueOptions("xnnpack", payload, std::free, &xnnpack), "makes no options for"));
  BITSR_TRY(call(api_.AddOpaqueOptions(options_, xnnpack), "makes no options for"));
  BITSR_TRY(call(api_.CreateAccelerator(&accelerator), "makes no accelerator for"));
  BITSR_TRY(call(api_.SetAcceleratorGetName(accelerator, accelerator_name), "makes no accelerator for"));
  BITSR_TRY(call(api_.SetAcceleratorGetVersion(accelerator, accelerator_version), "makes no accelerator for"));
  BITSR_TRY(call(api_.SetAcceleratorGetHardwareSupport(accelerator, accelerator_hardware), "makes no accelerator for"));
  BITSR_TRY(call(api_.SetDelegateFunction(accelerator, make_delegate), "makes no accelerator for"));
  BITSR_TRY(call(api_.RegisterAccelerator(environment_, accelerator, nullptr, nullptr), "makes no accelerator for"));
  delegate_in_creation = &delegate_;
  destroy_function = delegate_.library.destroy;
  const Outcome made = call(api_.CreateCompiledModel(environment_, model_, options_, &compiled_), "does not load");
  delegate_in_creation = nullptr;
  return made;
}

Outcome TfliteNetwork::resize(const Shape& shape) {
  const int sides[4] = {int(shape.n), int(shape.h), int(shape.w), int(shape.c)};
  litert::TensorType in{litert::kFloat32, {}}, out{litert::kFloat32, {}};
  in.layout.rank = 4;
  for (int i = 0; i < 4; ++i) in.layout.dimensions[i] = sides[i];
  input_shape_ = output = {};  // the first stays so if the new size is refused, the second until the next run
  BITSR_TRY(call(api_.CompiledModelResizeInputTensor(compiled_, 0, 0, sides, 4), "does not take the input size of"));
  BITSR_TRY(call(api_.GetCompiledModelOutputTensorLayouts(compiled_, 0, 1, &out.layout, true), "has no output size for"));
  const int32_t* to = out.layout.dimensions;
  if (out.layout.rank != 4 || to[0] < 1 || to[1] < 1 || to[2] < 1 || to[3] < 1)
    return failed(ErrorKind::model, "%s gives no map (N, H, W, C); export it by bitsr", path_.c_str());
  output_shape_ = {to[0], to[3], to[1], to[2]};
  const auto bytes = [](const Shape& s) { return static_cast<size_t>(s.n * s.c * s.h * s.w) * sizeof(float); };
  for (Handle* buffer : {&in_, &out_})
    if (*buffer != nullptr) api_.DestroyTensorBuffer(*buffer);
  in_ = out_ = nullptr;
  BITSR_TRY(call(api_.CreateManagedTensorBuffer(environment_, litert::kHostMemory, &in, bytes(shape), &in_), "has no memory for"));
  BITSR_TRY(call(api_.CreateManagedTensorBuffer(environment_, litert::kHostMemory, &out, bytes(output_shape_), &out_), "has no memory for"));
  input_shape_ = shape;
  return {};
}

Outcome TfliteNetwork::set_input(const float* nchw, const Shape& shape) {
  const bool fits = shape.n == input.n && shape.c == input.c && (input.h == 0 || input.h == shape.h) &&
                    (input.w == 0 || input.w == shape.w) && shape.h > 0 && shape.w > 0 && shape.h <= kMaxSide && shape.w <= kMaxSide;
  if (!fits)
    return failed(ErrorKind::argument, "%s takes %lldx%lldx%lldx%lld (0: any), got %lldx%lldx%lldx%lld", path_.c_str(),
                  static_cast<long long>(input.n), static_cast<long long>(input.c), static_cast<long long>(input.h),
                  static_cast<long long>(input.w), static_cast<long long>(shape.n), static_cast<long long>(shape.c),
                  static_cast<long long>(shape.h), static_cast<long long>(shape.w));
  if (shape.h != input_shape_.h || shape.w != input_shape_.w) BITSR_TRY(resize(shape));
  void* memory = nullptr;
  BITSR_TRY(call(api_.LockTensorBuffer(in_, &memory, litert::kWrite), "has no input for"));
  change_layout(nchw, shape, true, static_cast<float*>(memory));
  return call(api_.UnlockTensorBuffer(in_), "has no input for");
}

Outcome TfliteNetwork::observe(const RunHooks& hooks) {
  if (delegate_.made == nullptr)
    return failed(ErrorKind::unsupported, "%s has no op of bitsr to look at", path_.c_str());
  Watch watch;
  watch.hooks = &hooks;
  const Profiler profiler = {&watch, op_begins, op_ends};
  const Observer observer = {&watch, hooks.result == nullptr ? nullptr : op_result};
  delegate_.library.watch(delegate_.made, &profiler, &observer);
  const Clock::time_point start = Clock::now();
  const Outcome ran = call(api_.RunCompiledModel(compiled_, 0, 1, &in_, 1, &out_), "fails on");
  const double ms = ms_since(start);
  delegate_.library.watch(delegate_.made, nullptr, nullptr);
  BITSR_TRY(ran);
  if (hooks.profile != nullptr) hooks.profile(hooks.context, {"everything else", "operator", ms - watch.ours_ms});
  return {};
}

Outcome TfliteNetwork::execute(const RunHooks& hooks, RunTime* time) {
  if (input_shape_.n == 0) return failed(ErrorKind::argument, "%s has no input yet", path_.c_str());
  output = {};  // stays so if the run does not succeed
  if (stopped(hooks)) return cancelled();
  if (hooks.profile != nullptr || hooks.result != nullptr) BITSR_TRY(observe(hooks));
  const Stopwatch watch;
  BITSR_TRY(call(api_.RunCompiledModel(compiled_, 0, 1, &in_, 1, &out_), "fails on"));
  *time = watch.elapsed();
  if (stopped(hooks)) return cancelled();
  output = output_shape_;
  return {};
}

Outcome TfliteNetwork::get_output(float* nchw) const {
  void* memory = nullptr;
  BITSR_TRY(call(api_.LockTensorBuffer(out_, &memory, litert::kRead), "has no output of"));
  change_layout(static_cast<const float*>(memory), output, false, nchw);
  return call(api_.UnlockTensorBuffer(out_), "has no output of");
}

}  // namespace

Outcome open_tflite(Bytes content, const NetworkOptions& options, std::unique_ptr<Network>* network) {
  auto opened = std::make_unique<TfliteNetwork>();
  BITSR_TRY(opened->open(std::move(content), options));
  *network = std::move(opened);
  return {};
}

}  // namespace bitsr
