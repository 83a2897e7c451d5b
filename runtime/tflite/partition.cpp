#include "partition.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "bitsr/builder.h"
#include "ops.h"
#include "options.h"

namespace bitsr::tflite {
namespace {

// The core refuses larger ratios as well; here they must not overflow.
constexpr int32_t kMaxUp = 64;

// Collects the program of a partition; every failure has been reported to the context.
class Translation {
 public:
  Translation(TfLiteContext* context, ProgramBuilder* builder) : context_(context), builder_(builder) {}

  bool add_node(const TfLiteNode& node, const TfLiteRegistration& registration) {
    const bool is_add = registration.builtin_code == kTfLiteBuiltinAdd;
    return is_add ? add_sum(node) : add_custom(node, registration.custom_name);
  }

  // Inputs are read in the order of the ops, so that the first one is a map.
  std::vector<int> inputs;
  std::map<int, int32_t> values;

 private:
  bool fail(const char* name, const char* what, int64_t number = 0) {
    context_->ReportError(context_, "bitsr: %s: %s (%lld); export the model again", name, what,
                          static_cast<long long>(number));
    return false;
  }

  bool add_custom(const TfLiteNode& node, const char* name) {
    const OpInfo* op = find_custom_op(name);
    if (op == nullptr) return fail(name, "this library does not know the op; update bitsr");
    OptionMap options;
    int64_t version = 0, operands = 0, results = 0;
    if (node.custom_initial_data_size < 0 ||
        !options.open(node.custom_initial_data, static_cast<size_t>(node.custom_initial_data_size)))
      return fail(name, "its options are corrupt, bytes:", node.custom_initial_data_size);
    if (!options.find("version", &version)) return fail(name, "its options have no version");
    if (version != kOptionsVersion) {
      context_->ReportError(context_, "bitsr: %s has options of version %lld, this library reads version %lld; %s",
                            name, static_cast<long long>(version), static_cast<long long>(kOptionsVersion),
                            version > kOptionsVersion ? "update bitsr" : "export the model again");
      return false;
    }
    const int32_t input_count = op->input_count(), output_count = op->output_count();
    const int32_t operand_count = input_count + op->constant_count();
    if (!options.find("operands", &operands) || operands < 0 || operands >> operand_count != 0)
      return fail(name, "its options do not say which operands it has", operands);
    if (!options.find("results", &results) || results < 0 || results >> output_count != 0)
      return fail(name, "its options do not say which results it has", results);
    OpSpec spec{};
    spec.kind = op->kind;
    spec.input_count = input_count;
    spec.output_count = output_count;
    spec.constant_count = op->constant_count();
    spec.attribute_count = op->attribute_count();
    int next = 0;
    int32_t up = 1;
    for (int place = 0; place < operand_count; ++place) {
      const bool is_input = place < input_count;
      if ((operands >> place & 1) == 0) {
        if (is_input) spec.inputs[place] = kAbsent;
        continue;
      }
      if (next >= node.inputs->size) return fail(name, "operands are missing, got", node.inputs->size);
      const int tensor = node.inputs->data[next++];
      if (is_input ? !read_value(name, tensor, op->inputs[place].kind, up, &spec.inputs[place])
                   : !read_constant(name, tensor, &spec.constants[place - input_count]))
        return false;
      if (place == 0) up = ups_[static_cast<size_t>(spec.inputs[0])];
    }
    if (next != node.inputs->size) return fail(name, "unknown operands, got", node.inputs->size);
    for (int i = 0; i < spec.attribute_count; ++i) {
      int64_t value = 0;
      if (!options.find(op->attributes[i], &value) || value < 0 || value > INT32_MAX)
        return fail(name, op->attributes[i], value);
      spec.attributes[i] = static_cast<int32_t>(value);
    }
    if (op->kind == OpKind::pixel_shuffle) {
      if (spec.attributes[0] < 1 || spec.attributes[0] > kMaxUp / up) return fail(name, "factor", spec.attributes[0]);
      up *= spec.attributes[0];
    }
    next = 0;
    for (int place = 0; place < output_count; ++place) {
      if ((results >> place & 1) == 0) {
        spec.outputs[place] = kAbsent;
        continue;
      }
      if (next >= node.outputs->size) return fail(name, "results are missing, got", node.outputs->size);
      if (!new_value(name, node.outputs->data[next++], op->outputs[place].kind, up, &spec.outputs[place])) return false;
    }
    if (next != node.outputs->size) return fail(name, "unknown results, got", node.outputs->size);
    return builder_->add_op(spec) || fail(name, "out of memory");
  }

  bool add_sum(const TfLiteNode& node) {
    OpSpec spec{};
    spec.kind = OpKind::add;
    spec.input_count = 2;
    spec.output_count = 1;
    // Both have the size of the one that is known; is_plain_add has claimed the node because one of them is.
    const auto known = values.find(node.inputs->data[values.count(node.inputs->data[0]) != 0 ? 0 : 1]);
    const int32_t up = known == values.end() ? 1 : ups_[static_cast<size_t>(known->second)];
    return read_value("ADD", node.inputs->data[0], ValueKind::map, up, &spec.inputs[0]) &&
           read_value("ADD", node.inputs->data[1], ValueKind::map, up, &spec.inputs[1]) &&
           new_value("ADD", node.outputs->data[0], ValueKind::map, up, &spec.outputs[0]) &&
           (builder_->add_op(spec) || fail("ADD", "out of memory"));
  }

  const TfLiteTensor* tensor_of(const char* name, int tensor) {
    if (tensor < 0 || static_cast<size_t>(tensor) >= context_->tensors_size) {
      fail(name, "an operand is no tensor", tensor);
      return nullptr;
    }
    return &context_->tensors[tensor];
  }

  // `up`: how many times the partition's first map a map that is new here is large.
  bool read_value(const char* name, int tensor, ValueKind kind, int32_t up, int32_t* value) {
    const auto known = values.find(tensor);
    if (known != values.end()) {
      *value = known->second;
      return true;
    }
    if (!new_value(name, tensor, kind, up, value)) return false;
    if (context_->tensors[tensor].allocation_type == kTfLiteMmapRo) return fail(name, "an input is a constant", tensor);
    inputs.push_back(tensor);
    return builder_->add_input(*value) || fail(name, "out of memory");
  }

  bool new_value(const char* name, int tensor, ValueKind kind, int32_t up, int32_t* value) {
    const TfLiteTensor* found = tensor_of(name, tensor);
    if (found == nullptr) return false;
    const int rank = kind == ValueKind::vector ? 2 : 4;
    if (found->type != kTfLiteFloat32 || found->dims == nullptr || found->dims->size != rank)
      return fail(name, "a tensor is not float32 of rank", rank);
    const ValueSpec spec{kind, found->dims->data[rank - 1], up, 1};
    if (!builder_->add_value(spec)) return fail(name, "out of memory");
    *value = static_cast<int32_t>(values.size());
    values.emplace(tensor, *value);
    ups_.push_back(up);
    return true;
  }

  bool read_constant(const char* name, int tensor, Constant* constant) {
    const TfLiteTensor* found = tensor_of(name, tensor);
    if (found == nullptr) return false;
    if (found->allocation_type != kTfLiteMmapRo || found->data == nullptr)
      return fail(name, "an operand is no constant", tensor);
    *constant = {found->data, found->bytes};
    return true;
  }

  TfLiteContext* context_;
  ProgramBuilder* builder_;
  std::vector<int32_t> ups_;  // of every value: its size, as a multiple of the first map's
};

bool same_dims(const TfLiteIntArray* a, const TfLiteIntArray* b) {
  return a->size == b->size && std::memcmp(a->data, b->data, sizeof(int) * static_cast<size_t>(a->size)) == 0;
}

// Dimensions with -1 where they are dynamic: the sizes that the file gives these are no more than an example.
const TfLiteIntArray* signature(const TfLiteTensor& tensor) {
  const bool dynamic = tensor.dims_signature != nullptr && tensor.dims_signature->size == tensor.dims->size;
  return dynamic ? tensor.dims_signature : tensor.dims;
}

}  // namespace

bool is_plain_add(const TfLiteContext* context, const TfLiteNode* node, const TfLiteRegistration* registration,
                  const std::vector<bool>& is_ours) {
  if (registration->builtin_code != kTfLiteBuiltinAdd || node->inputs->size != 2 || node->outputs->size != 1 ||
      node->builtin_data == nullptr ||
      static_cast<const TfLiteAddParams*>(node->builtin_data)->activation != kTfLiteActNone)
    return false;
  const TfLiteTensor* tensors[3];
  const int numbers[3] = {node->inputs->data[0], node->inputs->data[1], node->outputs->data[0]};
  for (int i = 0; i < 3; ++i) {
    if (numbers[i] < 0 || static_cast<size_t>(numbers[i]) >= context->tensors_size) return false;
    tensors[i] = &context->tensors[numbers[i]];
    if (tensors[i]->type != kTfLiteFloat32 || tensors[i]->dims == nullptr || tensors[i]->dims->size != 4 ||
        tensors[i]->allocation_type == kTfLiteMmapRo || !same_dims(signature(*tensors[0]), signature(*tensors[i])))
      return false;
  }
  // An addition among float layers stays where it is.
  return is_ours[static_cast<size_t>(numbers[0])] || is_ours[static_cast<size_t>(numbers[1])];
}

std::unique_ptr<Partition> Partition::create(TfLiteContext* context, const TfLiteDelegateParams& params,
                                             const Settings& settings, ThreadPools* pools) {
  auto partition = std::make_unique<Partition>();
  partition->settings_ = &settings;
  ProgramBuilder builder;
  Translation translation(context, &builder);
  for (int i = 0; i < params.nodes_to_replace->size; ++i) {
    TfLiteNode* node = nullptr;
    TfLiteRegistration* registration = nullptr;
    if (context->GetNodeAndRegistration(context, params.nodes_to_replace->data[i], &node, &registration) != kTfLiteOk ||
        !translation.add_node(*node, *registration))
      return nullptr;
  }
  partition->inputs_ = translation.inputs;
  for (int i = 0; i < params.output_tensors->size; ++i) {
    const int tensor = params.output_tensors->data[i];
    partition->outputs_.push_back(tensor);
    if (!builder.add_output(translation.values.at(tensor))) {
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
  auto* data = static_cast<float*>(tensor.data);
  if (tensor.dims->size == 2) return {data, dims[0], dims[1], 1, 1, Layout::nhwc};
  return {data, dims[0], dims[3], dims[1], dims[2], Layout::nhwc};
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
