// A .tflite in TensorFlow Lite's Interpreter, by its C API: our delegate first, then XNNPACK, without which the floats
// are summed in another order.
#include <cstdio>
#include <cstring>
#include <vector>

#include "delegate_library.h"
#include "tflite_interpreter.h"
#include "tflite_runtime.h"

namespace bitsr {
namespace {

bool is_map_type(TfLiteType type) { return type == kTfLiteFloat32 || type == kTfLiteUInt8; }

class TfliteNetwork final : public Network {
 public:
  ~TfliteNetwork() override;
  Outcome open(Bytes file, const NetworkOptions& options, void* library);
  Outcome set_input(const float* nchw, const Shape& shape) override;
  Outcome execute(const RunHooks& hooks, RunTime* time) override;
  Outcome get_output(float* nchw) const override;

 private:
  Outcome make(const NetworkOptions& options);
  Outcome read_inputs();
  Outcome resize(const Shape& shape);
  Outcome observe(const RunHooks& hooks);
  Outcome call(bool succeeded, const char* what) const;
  static void keep_error(void* context, const char* format, va_list values);

  std::string path_;
  Bytes content_;
  tflite::Api api_{};
  Delegate delegate_;
  TfLiteDelegate *ours_ = nullptr, *xnnpack_ = nullptr;
  tflite::Model* model_ = nullptr;
  tflite::InterpreterOptions* options_ = nullptr;
  tflite::Interpreter* interpreter_ = nullptr;
  char error_[256] = {};  // the first since a call began: the later ones say what it led to
  int32_t map_ = 0;       // which input the map is
  Shape input_shape_{};   // that the tensors are made for
  Bytes given_;           // as the input tensor has it
  MapForm form_{true, false}, output_form_{true, false};
};

void TfliteNetwork::keep_error(void* context, const char* format, va_list values) {
  auto* network = static_cast<TfliteNetwork*>(context);
  if (network->error_[0] == '\0') std::vsnprintf(network->error_, sizeof(network->error_), format, values);
}

Outcome TfliteNetwork::call(bool succeeded, const char* what) const {
  if (succeeded) return {};
  return failed(ErrorKind::model, "TensorFlow Lite %s %s%s%s; export the model again", what, path_.c_str(),
                error_[0] != '\0' ? ": " : "", error_);
}

TfliteNetwork::~TfliteNetwork() {
  if (interpreter_ != nullptr) api_.InterpreterDelete(interpreter_);
  if (options_ != nullptr) api_.InterpreterOptionsDelete(options_);
  if (model_ != nullptr) api_.ModelDelete(model_);
  if (xnnpack_ != nullptr) api_.XNNPackDelegateDelete(xnnpack_);
  if (ours_ != nullptr) delegate_.destroy()(ours_);
}

Outcome TfliteNetwork::open(Bytes file, const NetworkOptions& options, void* library) {
  path_ = options.path;
  content_ = std::move(file);
  BITSR_TRY(tflite::find(library, &api_));
  BITSR_TRY(delegate_.open(options.delegate_library, options.isa, options.threads));
  runtime = "tflite";
  runtime_version = api_.Version();
  threads = options.threads;
  BITSR_TRY(make(options));
  return read_inputs();
}

Outcome TfliteNetwork::make(const NetworkOptions& options) {
  model_ = api_.ModelCreate(content_.data(), content_.size());
  BITSR_TRY(call(model_ != nullptr, "does not read"));
  options_ = api_.InterpreterOptionsCreate();
  BITSR_TRY(call(options_ != nullptr, "makes no options for"));
  api_.InterpreterOptionsSetNumThreads(options_, options.threads);
  api_.InterpreterOptionsSetErrorReporter(options_, keep_error, this);
  Delegate::clear_error();
  ours_ = delegate_.make();
  if (ours_ == nullptr)
    return failed(ErrorKind::unsupported, "the delegate does not start: %s", Delegate::last_error());
  tflite::XnnpackOptions floats = api_.XNNPackDelegateOptionsDefault();
  floats.num_threads = options.threads;
  xnnpack_ = api_.XNNPackDelegateCreate(&floats);
  BITSR_TRY(call(xnnpack_ != nullptr, "has no XNNPACK for"));
  // Ours comes first: it takes its ops and the additions between them.
  api_.InterpreterOptionsAddDelegate(options_, ours_);
  api_.InterpreterOptionsAddDelegate(options_, xnnpack_);
  interpreter_ = api_.InterpreterCreate(model_, options_);
  return call(interpreter_ != nullptr, "does not load");
}

Outcome TfliteNetwork::read_inputs() {
  const int32_t inputs = api_.InterpreterGetInputTensorCount(interpreter_);
  const int32_t outputs = api_.InterpreterGetOutputTensorCount(interpreter_);
  if (outputs != 1)
    return failed(ErrorKind::model, "%s has %d outputs, expected 1; %s", path_.c_str(), outputs, kRunElsewhere);
  int32_t maps = 0;
  for (int32_t i = 0; i < inputs; ++i) {
    const TfLiteTensor* tensor = api_.InterpreterGetInputTensor(interpreter_, i);
    // The sides of the model, -1 where any will do; absent where all are known.
    const TfLiteIntArray* dims = tensor->dims_signature;
    if (dims == nullptr || dims->size == 0) dims = tensor->dims;
    if (dims->size == 4 && is_map_type(tensor->type)) {
      form_.pixels = tensor->type == kTfLiteUInt8;
      const auto fixed = [](int side) { return side > 0 ? side : 0; };
      input = {dims->data[0] > 0 ? dims->data[0] : 1, dims->data[3], fixed(dims->data[1]), fixed(dims->data[2])};
      map_ = i;
      ++maps;
      continue;
    }
    int64_t count = 1;
    for (int d = 0; d < dims->size; ++d) count *= dims->data[d] > 0 ? dims->data[d] : 0;
    if ((tensor->type != kTfLiteFloat32 && tensor->type != kTfLiteInt64) || count == 0)
      return failed(ErrorKind::model, "input %d of %s is neither float32 nor int64 of a fixed size; export it by bitsr",
                    i, path_.c_str());
    others.push_back({tensor->type == kTfLiteFloat32 ? ElementType::float32 : ElementType::int64, count});
  }
  if (maps != 1)
    return failed(ErrorKind::model, "%s takes %d maps (N, H, W, C) of float32 or uint8, expected 1; %s", path_.c_str(),
                  maps, kRunElsewhere);
  return {};
}

Outcome TfliteNetwork::resize(const Shape& shape) {
  const int sides[4] = {int(shape.n), int(shape.h), int(shape.w), int(shape.c)};
  input_shape_ = output = {};  // the first stays so if the new size is refused, the second until the next run
  error_[0] = '\0';
  BITSR_TRY(call(api_.InterpreterResizeInputTensor(interpreter_, map_, sides, 4) == kTfLiteOk,
                 "does not take the input size of"));
  BITSR_TRY(call(api_.InterpreterAllocateTensors(interpreter_) == kTfLiteOk, "has no memory for"));
  input_shape_ = shape;
  return {};
}

Outcome TfliteNetwork::set_input(const float* nchw, const Shape& shape) {
  BITSR_TRY(check_map(path_, shape));
  if (shape.h != input_shape_.h || shape.w != input_shape_.w) BITSR_TRY(resize(shape));
  given_.resize(form_.bytes(shape));
  give_map(nchw, shape, form_, given_.data());
  return {};
}

Outcome TfliteNetwork::observe(const RunHooks& hooks) {
  if (!delegate_.in_use()) return failed(ErrorKind::unsupported, "%s has no op of bitsr to look at", path_.c_str());
  double ours_ms = 0;
  const Clock::time_point start = Clock::now();
  const TfLiteStatus status =
      delegate_.watched(hooks, [this] { return api_.InterpreterInvoke(interpreter_); }, &ours_ms);
  const double ms = ms_since(start);
  BITSR_TRY(call(status == kTfLiteOk, "fails on"));
  if (hooks.profile != nullptr) hooks.profile(hooks.context, {"everything else", "operator", ms - ours_ms});
  return {};
}

Outcome TfliteNetwork::execute(const RunHooks& hooks, RunTime* time) {
  if (input_shape_.n == 0) return failed(ErrorKind::argument, "%s has no input yet", path_.c_str());
  BITSR_TRY(check_others(path_));
  output = {};  // stays so if the run does not succeed
  error_[0] = '\0';
  const auto inputs = static_cast<int32_t>(1 + others.size());
  for (int32_t i = 0, other = 0; i < inputs; ++i) {
    TfLiteTensor* tensor = api_.InterpreterGetInputTensor(interpreter_, i);
    const bool map = i == map_;
    const void* values = map ? static_cast<const void*>(given_.data()) : other_values[size_t(other)].data();
    const size_t bytes = map ? given_.size() : other_values[size_t(other)].size();
    if (!map) ++other;
    BITSR_TRY(call(tensor->data != nullptr && tensor->bytes == bytes, "has another input size than"));
    std::memcpy(tensor->data, values, bytes);
  }
  if (stopped(hooks)) return cancelled();
  if (hooks.profile != nullptr || hooks.result != nullptr) BITSR_TRY(observe(hooks));
  const Stopwatch watch;
  BITSR_TRY(call(api_.InterpreterInvoke(interpreter_) == kTfLiteOk, "fails on"));
  *time = watch.elapsed();
  if (stopped(hooks)) return cancelled();
  const TfLiteTensor* result = api_.InterpreterGetOutputTensor(interpreter_, 0);
  const TfLiteIntArray* sides = result->dims;
  if (!is_map_type(result->type) || sides->size != 4)
    return failed(ErrorKind::model, "%s gives no map (N, H, W, C), expected one; %s", path_.c_str(), kRunElsewhere);
  output_form_.pixels = result->type == kTfLiteUInt8;
  output = {sides->data[0], sides->data[3], sides->data[1], sides->data[2]};
  return {};
}

Outcome TfliteNetwork::get_output(float* nchw) const {
  const TfLiteTensor* result = api_.InterpreterGetOutputTensor(interpreter_, 0);
  BITSR_TRY(call(result->bytes == output_form_.bytes(output), "has no output of"));
  take_map(result->data, output, output_form_, nchw);
  return {};
}

}  // namespace

Outcome open_tflite_interpreter(Bytes content, const NetworkOptions& options, void* library,
                                std::unique_ptr<Network>* network) {
  auto opened = std::make_unique<TfliteNetwork>();
  BITSR_TRY(opened->open(std::move(content), options, library));
  *network = std::move(opened);
  return {};
}

}  // namespace bitsr
