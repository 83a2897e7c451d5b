// A .tflite in LiteRT's CompiledModel, with our delegate as an accelerator beside XNNPACK.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "litert.h"
#include "litert_accelerator.h"

namespace bitsr {
namespace {

using litert::Handle;

class LiteRtNetwork final : public Network {
 public:
  ~LiteRtNetwork() override;
  Outcome open(Bytes file, const NetworkOptions& options, void* library);
  Outcome set_input(const float* nchw, const Shape& shape) override;
  Outcome execute(const RunHooks& hooks, RunTime* time) override;
  Outcome get_output(float* nchw) const override;

 private:
  Outcome read_inputs();
  Outcome compile(int32_t threads);
  Outcome resize(const Shape& shape);
  Outcome fill(Handle buffer, const Bytes& values) const;
  litert::Status run_once();
  Outcome observe(const RunHooks& hooks);
  Outcome call(litert::Status status, const char* what) const;

  std::string path_;
  Bytes content_;
  litert::Api api_{};
  Delegate delegate_;
  litert::Accelerator accelerator_{&api_, &delegate_};
  Handle environment_ = nullptr, model_ = nullptr, options_ = nullptr, compiled_ = nullptr;
  size_t map_ = 0;                         // which input the map is: the converter orders them by name
  std::vector<litert::TensorType> types_;  // of all inputs
  std::vector<Handle> in_;                 // likewise
  Handle out_ = nullptr;
  Shape input_shape_{}, output_shape_{};  // of the buffers
  MapForm form_{true, false}, output_form_{true, false};
};

Outcome LiteRtNetwork::call(litert::Status status, const char* what) const {
  if (status == 0) return {};
  return failed(ErrorKind::model, "LiteRT %s %s (status %d)%s%s; export the model again", what, path_.c_str(), status,
                Delegate::last_error()[0] != '\0' ? ": " : "", Delegate::last_error());
}

LiteRtNetwork::~LiteRtNetwork() {
  accelerator_.before_destruction();
  for (Handle in : in_)
    if (in != nullptr) api_.DestroyTensorBuffer(in);
  if (out_ != nullptr) api_.DestroyTensorBuffer(out_);
  if (compiled_ != nullptr) api_.DestroyCompiledModel(compiled_);
  if (options_ != nullptr) api_.DestroyOptions(options_);
  if (model_ != nullptr) api_.DestroyModel(model_);
  if (environment_ != nullptr) api_.DestroyEnvironment(environment_);
}

Outcome LiteRtNetwork::open(Bytes file, const NetworkOptions& options, void* library) {
  Delegate::clear_error();
  path_ = options.path;
  content_ = std::move(file);
  runtime = "litert";
  threads = options.threads;
  runtime_version = BITSR_LITERT_VERSION;
  BITSR_TRY(litert::find(library, &api_));
  BITSR_TRY(delegate_.open(options.delegate_library, options.isa, options.threads));
  // Without them LiteRT looks for the drivers of other processors, and says so.
  const litert::EnvironmentOption settings[] = {{litert::kAutoRegisterAccelerators, 0, litert::kInteger, litert::kCpu},
                                                {litert::kMinLoggerSeverity, 0, litert::kInteger, litert::kErrorsOnly}};
  BITSR_TRY(call(api_.CreateEnvironment(2, settings, &environment_), "does not start for"));
  BITSR_TRY(call(api_.CreateModelFromBuffer(environment_, content_.data(), content_.size(), &model_), "does not read"));
  BITSR_TRY(read_inputs());
  return compile(options.threads);
}

Outcome LiteRtNetwork::read_inputs() {
  Handle signature = nullptr, tensor = nullptr;
  size_t signatures = 0, inputs = 0, outputs = 0;
  BITSR_TRY(call(api_.GetNumModelSignatures(model_, &signatures), "does not read"));
  if (signatures == 0) return failed(ErrorKind::model, "%s has no signature; export it by bitsr", path_.c_str());
  BITSR_TRY(call(api_.GetModelSignature(model_, 0, &signature), "does not read"));
  BITSR_TRY(call(api_.GetNumSignatureInputs(signature, &inputs), "does not read"));
  BITSR_TRY(call(api_.GetNumSignatureOutputs(signature, &outputs), "does not read"));
  if (outputs != 1)
    return failed(ErrorKind::model, "%s has %zu outputs, expected 1; %s", path_.c_str(), outputs, kRunElsewhere);
  litert::TensorType result{};
  BITSR_TRY(call(api_.GetSignatureOutputTensorByIndex(signature, 0, &tensor), "does not read"));
  BITSR_TRY(call(api_.GetRankedTensorType(tensor, &result), "does not read"));
  output_form_.pixels = result.element == litert::kUint8;
  size_t maps = 0;
  for (size_t i = 0; i < inputs; ++i) {
    litert::TensorType type{};
    BITSR_TRY(call(api_.GetSignatureInputTensorByIndex(signature, i, &tensor), "does not read"));
    BITSR_TRY(call(api_.GetRankedTensorType(tensor, &type), "does not read"));
    types_.push_back(type);
    const int32_t* sides = type.layout.dimensions;
    if (type.layout.rank == 4 && (type.element == litert::kFloat32 || type.element == litert::kUint8)) {
      form_.pixels = type.element == litert::kUint8;
      const auto fixed = [](int32_t side) { return side > 0 ? side : 0; };
      input = {sides[0] > 0 ? sides[0] : 1, sides[3], fixed(sides[1]), fixed(sides[2])};
      map_ = i;
      ++maps;
      continue;
    }
    int64_t count = 1;
    for (unsigned d = 0; d < type.layout.rank; ++d) count *= sides[d] > 0 ? sides[d] : 0;
    if ((type.element != litert::kFloat32 && type.element != litert::kInt64) || count == 0)
      return failed(ErrorKind::model,
                    "input %zu of %s is neither float32 nor int64 of a fixed size; export it by bitsr", i,
                    path_.c_str());
    others.push_back({type.element == litert::kFloat32 ? ElementType::float32 : ElementType::int64, count});
  }
  if (maps != 1)
    return failed(ErrorKind::model, "%s takes %zu maps (N, H, W, C) of float32 or uint8, expected 1; %s", path_.c_str(),
                  maps, kRunElsewhere);
  return {};
}

Outcome LiteRtNetwork::compile(int32_t count) {
  // LiteRT takes the text over, and frees it.
  const std::string threads = "num_threads = " + std::to_string(count) + "\n";
  char* payload = strdup(threads.c_str());
  if (payload == nullptr) throw std::bad_alloc();
  Handle xnnpack = nullptr;
  BITSR_TRY(call(api_.CreateOptions(&options_), "makes no options for"));
  BITSR_TRY(call(api_.SetOptionsHardwareAccelerators(options_, litert::kCpu), "has no processor for"));
  BITSR_TRY(call(api_.CreateOpaqueOptions("xnnpack", payload, std::free, &xnnpack), "makes no options for"));
  BITSR_TRY(call(api_.AddOpaqueOptions(options_, xnnpack), "makes no options for"));
  BITSR_TRY(call(accelerator_.add_to(environment_), "makes no accelerator for"));
  BITSR_TRY(call(accelerator_.compile(environment_, model_, options_, &compiled_), "does not load"));
  in_.resize(types_.size());
  for (size_t i = 0, other = 0; i < in_.size(); ++i) {
    if (i == map_) continue;
    const size_t bytes = byte_count(others[other++]);
    BITSR_TRY(call(api_.CreateManagedTensorBuffer(environment_, litert::kHostMemory, &types_[i], bytes, &in_[i]),
                   "has no memory for"));
  }
  return {};
}

Outcome LiteRtNetwork::resize(const Shape& shape) {
  const int sides[4] = {int(shape.n), int(shape.h), int(shape.w), int(shape.c)};
  litert::TensorType in{form_.pixels ? litert::kUint8 : litert::kFloat32, {}};
  litert::TensorType out{output_form_.pixels ? litert::kUint8 : litert::kFloat32, {}};
  in.layout.rank = 4;
  for (int i = 0; i < 4; ++i) in.layout.dimensions[i] = sides[i];
  input_shape_ = output = {};  // the first stays so if the new size is refused, the second until the next run
  BITSR_TRY(call(api_.CompiledModelResizeInputTensor(compiled_, 0, map_, sides, 4), "does not take the input size of"));
  BITSR_TRY(
      call(api_.GetCompiledModelOutputTensorLayouts(compiled_, 0, 1, &out.layout, true), "has no output size for"));
  const int32_t* to = out.layout.dimensions;
  if (out.layout.rank != 4 || to[0] < 1 || to[1] < 1 || to[2] < 1 || to[3] < 1)
    return failed(ErrorKind::model, "%s gives no map (N, H, W, C), expected one; %s", path_.c_str(), kRunElsewhere);
  output_shape_ = {to[0], to[3], to[1], to[2]};
  for (Handle* buffer : {&in_[map_], &out_}) {
    if (*buffer != nullptr) api_.DestroyTensorBuffer(*buffer);
    *buffer = nullptr;
  }
  BITSR_TRY(call(api_.CreateManagedTensorBuffer(environment_, litert::kHostMemory, &in, form_.bytes(shape), &in_[map_]),
                 "has no memory for"));
  BITSR_TRY(call(
      api_.CreateManagedTensorBuffer(environment_, litert::kHostMemory, &out, output_form_.bytes(output_shape_), &out_),
      "has no memory for"));
  input_shape_ = shape;
  return {};
}

Outcome LiteRtNetwork::set_input(const float* nchw, const Shape& shape) {
  BITSR_TRY(check_map(path_, shape));
  if (shape.h != input_shape_.h || shape.w != input_shape_.w) BITSR_TRY(resize(shape));
  void* memory = nullptr;
  BITSR_TRY(call(api_.LockTensorBuffer(in_[map_], &memory, litert::kWrite), "has no input for"));
  give_map(nchw, shape, form_, memory);
  return call(api_.UnlockTensorBuffer(in_[map_]), "has no input for");
}

Outcome LiteRtNetwork::fill(Handle buffer, const Bytes& values) const {
  void* memory = nullptr;
  BITSR_TRY(call(api_.LockTensorBuffer(buffer, &memory, litert::kWrite), "has no input for"));
  std::memcpy(memory, values.data(), values.size());
  return call(api_.UnlockTensorBuffer(buffer), "has no input for");
}

litert::Status LiteRtNetwork::run_once() {
  return api_.RunCompiledModel(compiled_, 0, in_.size(), in_.data(), 1, &out_);
}

Outcome LiteRtNetwork::observe(const RunHooks& hooks) {
  if (!delegate_.in_use()) return failed(ErrorKind::unsupported, "%s has no op of bitsr to look at", path_.c_str());
  double ours_ms = 0;
  const Clock::time_point start = Clock::now();
  const litert::Status status = delegate_.watched(hooks, [this] { return run_once(); }, &ours_ms);
  const double ms = ms_since(start);
  BITSR_TRY(call(status, "fails on"));
  if (hooks.profile != nullptr) hooks.profile(hooks.context, {"everything else", "operator", ms - ours_ms});
  return {};
}

Outcome LiteRtNetwork::execute(const RunHooks& hooks, RunTime* time) {
  if (input_shape_.n == 0) return failed(ErrorKind::argument, "%s has no input yet", path_.c_str());
  BITSR_TRY(check_others(path_));
  for (size_t i = 0, other = 0; i < in_.size(); ++i)
    if (i != map_) BITSR_TRY(fill(in_[i], other_values[other++]));
  output = {};  // stays so if the run does not succeed
  if (stopped(hooks)) return cancelled();
  if (hooks.profile != nullptr || hooks.result != nullptr) BITSR_TRY(observe(hooks));
  const Stopwatch watch;
  BITSR_TRY(call(run_once(), "fails on"));
  *time = watch.elapsed();
  if (stopped(hooks)) return cancelled();
  output = output_shape_;
  return {};
}

Outcome LiteRtNetwork::get_output(float* nchw) const {
  void* memory = nullptr;
  BITSR_TRY(call(api_.LockTensorBuffer(out_, &memory, litert::kRead), "has no output of"));
  take_map(memory, output, output_form_, nchw);
  return call(api_.UnlockTensorBuffer(out_), "has no output of");
}

}  // namespace

Outcome open_litert(Bytes content, const NetworkOptions& options, void* library, std::unique_ptr<Network>* network) {
  auto opened = std::make_unique<LiteRtNetwork>();
  BITSR_TRY(opened->open(std::move(content), options, library));
  *network = std::move(opened);
  return {};
}

}  // namespace bitsr
