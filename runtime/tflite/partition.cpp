#include "partition.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "bitsr/builder.h"

namespace bitsr::tflite {
namespace {

std::vector<int32_t> numbers_of(const TfLiteIntArray* array) { return {array->data, array->data + array->size}; }

// The tensors of an interpreter.
class ContextTensors final : public GraphTensors {
 public:
  explicit ContextTensors(const TfLiteContext* context) : context_(context) {}

  bool find(int32_t number, GraphTensor* found) const override {
    if (number < 0 || static_cast<size_t>(number) >= context_->tensors_size) return false;
    const TfLiteTensor& tensor = context_->tensors[number];
    found->is_float32 = tensor.type == kTfLiteFloat32;
    found->is_uint8 = tensor.type == kTfLiteUInt8;
    found->is_constant = tensor.allocation_type == kTfLiteMmapRo;
    found->data = tensor.data;
    found->bytes = tensor.bytes;
    const TfLiteIntArray* dims = tensor.dims;
    if (dims == nullptr || dims->size == 0) return true;
    found->rank = dims->size;
    found->channels = dims->data[dims->size - 1];
    if (dims->size != kRankOfMaps) return true;
    // -1 where they are dynamic: the sizes that the file gives these are no more than an example.
    const TfLiteIntArray* signature = tensor.dims_signature;
    if (signature == nullptr || signature->size != dims->size) signature = dims;
    std::copy_n(signature->data, kRankOfMaps, found->signature);
    return true;
  }

 private:
  const TfLiteContext* context_;
};

bool is_sum(const TfLiteNode& node, const TfLiteRegistration& registration) {
  return registration.builtin_code == kTfLiteBuiltinAdd && node.builtin_data != nullptr &&
         static_cast<const TfLiteAddParams*>(node.builtin_data)->activation == kTfLiteActNone;
}

GraphNode node_of(const TfLiteNode& node, const TfLiteRegistration& registration) {
  GraphNode found;
  if (registration.builtin_code == kTfLiteBuiltinCustom) found.custom_name = registration.custom_name;
  found.inputs = numbers_of(node.inputs);
  found.outputs = numbers_of(node.outputs);
  found.options = node.custom_initial_data;
  found.option_bytes = static_cast<size_t>(std::max(0, node.custom_initial_data_size));
  return found;
}

}  // namespace

bool is_plain_add(const TfLiteContext* context, const TfLiteNode* node, const TfLiteRegistration* registration,
                  const std::vector<bool>& is_ours) {
  if (!is_sum(*node, *registration) ||
      !is_plain_add(ContextTensors(context), numbers_of(node->inputs), numbers_of(node->outputs)))
    return false;
  // An addition among float layers stays where it is.
  return is_ours[static_cast<size_t>(node->inputs->data[0])] || is_ours[static_cast<size_t>(node->inputs->data[1])];
}

std::unique_ptr<Partition> Partition::create(TfLiteContext* context, const TfLiteDelegateParams& params,
                                             const Settings& settings, ThreadPools* pools) {
  auto partition = std::make_unique<Partition>();
  partition->settings_ = &settings;
  ProgramBuilder builder;
  const ContextTensors tensors(context);
  Translation translation(tensors, &builder);
  for (int i = 0; i < params.nodes_to_replace->size; ++i) {
    TfLiteNode* node = nullptr;
    TfLiteRegistration* registration = nullptr;
    if (context->GetNodeAndRegistration(context, params.nodes_to_replace->data[i], &node, &registration) != kTfLiteOk ||
        partition->report(context, translation.add_node(node_of(*node, *registration))) != kTfLiteOk)
      return nullptr;
  }
  partition->inputs_ = translation.inputs();
  for (int i = 0; i < params.output_tensors->size; ++i) {
    const int tensor = params.output_tensors->data[i];
    partition->outputs_.push_back(tensor);
    if (!builder.add_output(translation.value_of(tensor))) {
      context->ReportError(context, "bitsr: out of memory");
      return nullptr;
    }
  }
  Program* program = nullptr;
  const Status status = builder.finish(settings.isa, &program);
  partition->program_.reset(program);
  if (partition->report(context, status) != kTfLiteOk) return nullptr;
  partition->input_views_.resize(partition->inputs_.size());
  partition->output_views_.resize(partition->outputs_.size());
  partition->shapes_.resize(partition->outputs_.size());
  const int wanted = settings.threads > 0 ? settings.threads : context->recommended_num_threads;
  // Like XNNPACK: one thread where the interpreter recommends none.
  partition->pool_ = pools->get(wanted > 0 ? wanted : 1);
  if (settings.verbose) {
    std::fprintf(stderr, "bitsr: partition of %d ops, %d inputs, %d outputs, kernel %s, threads %d\n",
                 int(program->op_count()), int(program->input_count()), int(program->output_count()),
                 isa_name(program->isa()), partition->pool_->size());
  }
  return partition;
}

TfLiteStatus Partition::report(TfLiteContext* context, const Status& status) const {
  if (status.ok()) return kTfLiteOk;
  context->ReportError(context, "bitsr: %s", status.message);
  return kTfLiteError;
}

// Maps are (N, H, W, C), vectors (N, C).
TensorView Partition::view(const TfLiteContext* context, int number) {
  const TfLiteTensor& tensor = context->tensors[number];
  const int* dims = tensor.dims->data;
  const bool pixels = tensor.type == kTfLiteUInt8;
  auto* floats = pixels ? nullptr : static_cast<float*>(tensor.data);
  auto* levels = pixels ? static_cast<uint8_t*>(tensor.data) : nullptr;
  if (tensor.dims->size == 2) return {floats, dims[0], dims[1], 1, 1, Layout::nhwc};
  return {floats, dims[0], dims[3], dims[1], dims[2], Layout::nhwc, levels};
}

TfLiteStatus Partition::prepare(TfLiteContext* context) {
  float unread = 0;  // tensors have no memory yet, and the core refuses null pointers
  for (size_t i = 0; i < inputs_.size(); ++i) {
    if (context->tensors[inputs_[i]].allocation_type == kTfLiteDynamic) {
      context->ReportError(context,
                           "bitsr: the size of tensor %d is only known when the model runs; resize its inputs "
                           "before, and allocate the tensors",
                           inputs_[i]);
      return kTfLiteError;
    }
    input_views_[i] = view(context, inputs_[i]);
    input_views_[i].data = &unread;
  }
  const Status status = program_->output_shapes(input_views_.data(), shapes_.data());
  if (!status.ok()) return report(context, status);
  for (size_t i = 0; i < outputs_.size(); ++i) {
    TfLiteTensor* tensor = &context->tensors[outputs_[i]];
    const Shape& s = shapes_[i];
    const int rank = tensor->dims->size;
    auto* dims = static_cast<TfLiteIntArray*>(std::malloc(sizeof(TfLiteIntArray) + sizeof(int) * 4));
    if (dims == nullptr) {
      context->ReportError(context, "bitsr: out of memory");
      return kTfLiteError;
    }
    dims->size = rank;
    dims->data[0] = static_cast<int>(s.n);
    if (rank == 2) {
      dims->data[1] = static_cast<int>(s.c);
    } else {
      dims->data[1] = static_cast<int>(s.h);
      dims->data[2] = static_cast<int>(s.w);
      dims->data[3] = static_cast<int>(s.c);
    }
    if (context->ResizeTensor(context, tensor, dims) != kTfLiteOk) return kTfLiteError;
  }
  return kTfLiteOk;
}

TfLiteStatus Partition::invoke(TfLiteContext* context) {
  for (size_t i = 0; i < inputs_.size(); ++i) input_views_[i] = view(context, inputs_[i]);
  for (size_t i = 0; i < outputs_.size(); ++i) output_views_[i] = view(context, outputs_[i]);
  const RunOptions options = {pool_->parallel(), settings_->profiler, settings_->observer};
  return report(context, program_->run(input_views_.data(), output_views_.data(), options));
}

}  // namespace bitsr::tflite
