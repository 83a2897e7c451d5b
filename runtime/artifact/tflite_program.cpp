// A .tflite whose graph is custom ops of ours and additions between them.
#include <algorithm>
#include <string_view>
#include <vector>

#include "core_program.h"
#include "custom_ops.h"
#include "file_status.h"
#include "flatbuffer.h"
#include "tflite_schema.h"
#include "translation.h"

namespace bitsr {
namespace {

using namespace tflite::schema;

// The planner is quadratic in these; the blob's reader has the same limit.
constexpr size_t kMaxNodes = 1 << 12;
// No op of ours has so many operands.
constexpr size_t kMaxOperands = 64;

// The builtin ops that networks of bitsr have, for messages; another one is called by its number.
constexpr struct {
  int32_t code;
  const char* name;
} kBuiltins[] = {{0, "ADD"},
                 {1, "AVERAGE_POOL_2D"},
                 {2, "CONCATENATION"},
                 {3, "CONV_2D"},
                 {4, "DEPTHWISE_CONV_2D"},
                 {5, "DEPTH_TO_SPACE"},
                 {6, "DEQUANTIZE"},
                 {9, "FULLY_CONNECTED"},
                 {14, "LOGISTIC"},
                 {17, "MAX_POOL_2D"},
                 {18, "MUL"},
                 {19, "RELU"},
                 {22, "RESHAPE"},
                 {23, "RESIZE_BILINEAR"},
                 {25, "SOFTMAX"},
                 {34, "PAD"},
                 {36, "GATHER"},
                 {39, "TRANSPOSE"},
                 {40, "MEAN"},
                 {41, "SUB"},
                 {42, "DIV"},
                 {45, "STRIDED_SLICE"},
                 {53, "CAST"},
                 {54, "PRELU"},
                 {60, "PADV2"},
                 {62, "GREATER_EQUAL"},
                 {65, "SLICE"},
                 {67, "TRANSPOSE_CONV"},
                 {74, "SUM"},
                 {77, "SHAPE"},
                 {97, "RESIZE_NEAREST_NEIGHBOR"},
                 {98, "LEAKY_RELU"},
                 {100, "MIRROR_PAD"},
                 {114, "QUANTIZE"},
                 {123, "SELECT_V2"},
                 {126, "BATCH_MATMUL"},
                 {150, "GELU"}};

std::string builtin_name(int32_t code) {
  for (const auto& builtin : kBuiltins)
    if (builtin.code == code) return builtin.name;
  return "the builtin op " + std::to_string(code);
}

// The model's only graph.
class Graph final : public tflite::GraphTensors {
 public:
  Graph(const uint8_t* data, size_t size) : file_(data, size) {}

  Status open();
  // Empty where the network is one of ours, from a map to a map.
  const std::string& foreign() const { return foreign_; }
  Status load(Isa isa, CoreProgram* found) const;

  bool find(int32_t number, tflite::GraphTensor* found) const override;

 private:
  Status read_node(size_t index);
  // False: there are more than an op of ours has, or they do not lie in the file.
  bool numbers(size_t table, unsigned field, std::vector<int32_t>* found) const;
  void call_foreign(std::string name) { foreign_ = name.empty() ? "an op without a name" : std::move(name); }

  FlatBuffer file_;
  FlatBuffer::Vector codes_, buffers_, tensors_, operators_;
  int32_t input_ = 0, output_ = 0;
  std::vector<tflite::GraphNode> nodes_;
  std::string foreign_;
};

Status Graph::open() {
  const size_t model = file_.root();
  uint32_t version = 0;
  FlatBuffer::Vector graphs;
  if (!file_.number(model, kModelVersion, &version) || !file_.vector(model, kModelOperatorCodes, 4, &codes_) ||
      !file_.vector(model, kModelSubgraphs, 4, &graphs) || !file_.vector(model, kModelBuffers, 4, &buffers_))
    return damaged("tables");
  if (version != kVersion)
    return failure(version > kVersion ? StatusCode::newer_version : StatusCode::invalid_program,
                   "its TensorFlow Lite schema has version %u, this library reads version %u; %s", version, kVersion,
                   version > kVersion ? "update bitsr" : "export the model again");
  if (graphs.count != 1) {
    foreign_ = std::to_string(graphs.count) + " graphs";
    return {};
  }
  const size_t graph = file_.table_of(graphs, 0);
  if (!file_.vector(graph, kGraphTensors, 4, &tensors_) || !file_.vector(graph, kGraphOperators, 4, &operators_))
    return damaged("tensors or operators");
  FlatBuffer::Vector inputs, outputs;
  if (!file_.vector(graph, kGraphInputs, sizeof(int32_t), &inputs) ||
      !file_.vector(graph, kGraphOutputs, sizeof(int32_t), &outputs))
    return damaged("inputs or outputs");
  for (size_t i = 0; i < operators_.count && foreign_.empty(); ++i) {
    if (i == kMaxNodes)
      return failure(StatusCode::invalid_program, "it has %zu operators, expected at most %zu", operators_.count,
                     kMaxNodes);
    const Status status = read_node(i);
    if (!status.ok()) return status;
  }
  if (!foreign_.empty()) return {};
  if (inputs.count != 1 || outputs.count != 1) {
    call_foreign(std::to_string(inputs.count) + " inputs and " + std::to_string(outputs.count) + " outputs");
    return {};
  }
  input_ = file_.at<int32_t>(inputs, 0);
  output_ = file_.at<int32_t>(outputs, 0);
  tflite::GraphTensor in, out;
  if (!find(input_, &in) || !find(output_, &out)) return damaged("inputs or outputs");
  const auto is_end = [](const tflite::GraphTensor& tensor) {
    return (tensor.is_float32 || tensor.is_uint8) && tensor.rank == tflite::kRankOfMaps;
  };
  if (!is_end(in) || !is_end(out)) call_foreign("an input or output that is no map of float32 or uint8");
  return {};
}

Status Graph::read_node(size_t index) {
  const size_t node = file_.table_of(operators_, index);
  uint32_t code_index = 0;
  int8_t short_builtin = 0, activation = kNoActivation;
  int32_t builtin = 0;
  if (node == 0 || !file_.number(node, kOperatorCode, &code_index)) return damaged("operators");
  const size_t code = file_.table_of(codes_, code_index);
  if (code == 0 || !file_.number(code, kCodeShortBuiltin, &short_builtin) ||
      !file_.number(code, kCodeBuiltin, &builtin))
    return damaged("operator codes");
  builtin = std::max<int32_t>(builtin, short_builtin);
  tflite::GraphNode found;
  const bool operands =
      numbers(node, kOperatorInputs, &found.inputs) && numbers(node, kOperatorOutputs, &found.outputs);
  if (builtin == kCustom) {
    std::string_view name;
    if (!file_.text(code, kCodeCustom, &name)) return damaged("operator codes");
    found.custom_name = shown(name);
    if (!tflite::has_our_prefix(found.custom_name.c_str())) {
      call_foreign(found.custom_name);
      return {};
    }
    if (!operands) return damaged("operands");
    FlatBuffer::Vector options;
    if (file_.vector(node, kOperatorCustomOptions, 1, &options)) {
      found.options = file_.data() + options.first;
      found.option_bytes = options.count;
    }
  } else {
    const size_t options = file_.table(node, kOperatorBuiltinOptions);
    const bool plain = operands && builtin == kAdd && file_.number(options, kAddActivation, &activation) &&
                       activation == kNoActivation && tflite::is_plain_add(*this, found.inputs, found.outputs);
    if (!plain) {
      call_foreign(builtin_name(builtin));
      return {};
    }
  }
  nodes_.push_back(std::move(found));
  return {};
}

bool Graph::numbers(size_t table, unsigned field, std::vector<int32_t>* found) const {
  FlatBuffer::Vector vector;
  if (!file_.vector(table, field, sizeof(int32_t), &vector) || vector.count > kMaxOperands) return false;
  for (size_t i = 0; i < vector.count; ++i) found->push_back(file_.at<int32_t>(vector, i));
  return true;
}

bool Graph::find(int32_t number, tflite::GraphTensor* found) const {
  if (number < 0) return false;
  const size_t tensor = file_.table_of(tensors_, static_cast<size_t>(number));
  int8_t type = kFloat32;
  uint32_t buffer = 0;
  if (tensor == 0 || !file_.number(tensor, kTensorType, &type) || !file_.number(tensor, kTensorBuffer, &buffer))
    return false;
  found->is_float32 = type == kFloat32;
  found->is_uint8 = type == kUint8;
  FlatBuffer::Vector sides, signature, data;
  if (file_.vector(tensor, kTensorShape, sizeof(int32_t), &sides) && sides.count > 0) {
    found->rank = static_cast<int32_t>(std::min<size_t>(sides.count, INT32_MAX));
    found->channels = file_.at<int32_t>(sides, sides.count - 1);
  }
  if (found->rank == tflite::kRankOfMaps) {
    const bool known =
        file_.vector(tensor, kTensorShapeSignature, sizeof(int32_t), &signature) && signature.count == sides.count;
    for (size_t i = 0; i < sides.count; ++i) found->signature[i] = file_.at<int32_t>(known ? signature : sides, i);
  }
  // Buffer 0 is the empty one of all that is no constant.
  found->is_constant =
      buffer != 0 && file_.vector(file_.table_of(buffers_, buffer), kBufferData, 1, &data) && data.count > 0;
  if (found->is_constant) {
    found->data = file_.data() + data.first;
    found->bytes = data.count;
  }
  return true;
}

Status Graph::load(Isa isa, CoreProgram* found) const {
  ProgramBuilder builder;
  tflite::Translation translation(*this, &builder);
  for (const tflite::GraphNode& node : nodes_) {
    const Status status = translation.add_node(node);
    if (!status.ok()) return status;
  }
  // What the ops read and nothing writes is the graph's input.
  if (translation.inputs() != std::vector<int32_t>{input_})
    return damaged("operators, which read what nothing writes,");
  if (!builder.add_output(translation.value_of(output_))) return failure(StatusCode::out_of_memory, "out of memory");
  Program* program = nullptr;
  const Status status = builder.finish(isa, &program);
  if (!status.ok()) return status;
  found->program.reset(program);
  tflite::GraphTensor in;
  find(input_, &in);
  const auto fixed = [](int32_t side) { return side > 0 ? side : 0; };
  found->input = {std::max(1, in.signature[0]), in.channels, fixed(in.signature[1]), fixed(in.signature[2])};
  return {};
}

}  // namespace

Status load_tflite_program(const uint8_t* file, size_t size, Isa isa, CoreProgram* found) {
  *found = {};
  Graph graph(file, size);
  const Status status = graph.open();
  if (!status.ok()) return status;
  found->foreign = graph.foreign();
  return found->foreign.empty() ? graph.load(isa, found) : Status{};
}

}  // namespace bitsr
