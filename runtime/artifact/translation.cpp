#include "translation.h"

#include <algorithm>
#include <cstdio>

#include "custom_ops.h"
#include "options.h"

namespace bitsr::tflite {
namespace {

// The core refuses larger ratios as well; here they must not overflow.
constexpr int32_t kMaxUp = 64;
constexpr char kAdd[] = "ADD";

Status bad(const char* name, const char* what, int64_t number = 0) {
  Status status;
  status.code = StatusCode::invalid_program;
  std::snprintf(status.message, sizeof(status.message), "%s: %s (%lld); export the model again", name, what,
                static_cast<long long>(number));
  return status;
}

Status no_memory(const char* name) {
  Status status = bad(name, "out of memory");
  status.code = StatusCode::out_of_memory;
  return status;
}

Status other_version(const char* name, int64_t version) {
  Status status;
  status.code = version > kOptionsVersion ? StatusCode::newer_version : StatusCode::invalid_program;
  std::snprintf(status.message, sizeof(status.message),
                "%s has options of version %lld, this library reads version %lld; %s", name,
                static_cast<long long>(version), static_cast<long long>(kOptionsVersion),
                version > kOptionsVersion ? "update bitsr" : "export the model again");
  return status;
}

#define BITSR_CHECK(expression)          \
  do {                                   \
    const Status status_ = (expression); \
    if (!status_.ok()) return status_;   \
  } while (false)

}  // namespace

bool is_plain_add(const GraphTensors& tensors, const std::vector<int32_t>& inputs,
                  const std::vector<int32_t>& outputs) {
  if (inputs.size() != 2 || outputs.size() != 1) return false;
  GraphTensor found[3];
  const int32_t numbers[3] = {inputs[0], inputs[1], outputs[0]};
  for (int i = 0; i < 3; ++i) {
    GraphTensor& tensor = found[i];
    if (!tensors.find(numbers[i], &tensor) || !tensor.is_float32 || tensor.rank != kRankOfMaps || tensor.is_constant ||
        !std::equal(std::begin(tensor.signature), std::end(tensor.signature), std::begin(found[0].signature)))
      return false;
  }
  return true;
}

int32_t Translation::value_of(int32_t tensor) const {
  const auto known = values_.find(tensor);
  return known == values_.end() ? kAbsent : known->second;
}

Status Translation::add_node(const GraphNode& node) {
  return node.custom_name.empty() ? add_sum(node) : add_custom(node);
}

Status Translation::add_custom(const GraphNode& node) {
  const char* name = node.custom_name.c_str();
  const OpInfo* op = find_custom_op(name);
  if (op == nullptr) return bad(name, "this library does not know the op; update bitsr");
  OptionMap options;
  int64_t version = 0, operands = 0, results = 0;
  if (!options.open(node.options, node.option_bytes))
    return bad(name, "its options are corrupt, bytes:", static_cast<int64_t>(node.option_bytes));
  if (!options.find("version", &version)) return bad(name, "its options have no version");
  if (version != kOptionsVersion) return other_version(name, version);
  const int32_t input_count = op->input_count(), output_count = op->output_count();
  const int32_t operand_count = input_count + op->constant_count();
  if (!options.find("operands", &operands) || operands < 0 || operands >> operand_count != 0)
    return bad(name, "its options do not say which operands it has", operands);
  if (!options.find("results", &results) || results < 0 || results >> output_count != 0)
    return bad(name, "its options do not say which results it has", results);
  OpSpec spec{};
  spec.kind = op->kind;
  spec.input_count = input_count;
  spec.output_count = output_count;
  spec.constant_count = op->constant_count();
  spec.attribute_count = op->attribute_count();
  const size_t given = node.inputs.size(), taken = node.outputs.size();
  size_t next = 0;
  int32_t up = 1;
  for (int place = 0; place < operand_count; ++place) {
    const bool is_input = place < input_count;
    if ((operands >> place & 1) == 0) {
      if (is_input) spec.inputs[place] = kAbsent;
      continue;
    }
    if (next >= given) return bad(name, "operands are missing, got", static_cast<int64_t>(given));
    const int32_t tensor = node.inputs[next++];
    BITSR_CHECK(is_input ? read_value(name, tensor, op->inputs[place].kind, up, &spec.inputs[place])
                         : read_constant(name, tensor, &spec.constants[place - input_count]));
    if (place == 0) up = ups_[static_cast<size_t>(spec.inputs[0])];
  }
  if (next != given) return bad(name, "unknown operands, got", static_cast<int64_t>(given));
  for (int i = 0; i < spec.attribute_count; ++i) {
    int64_t value = 0;
    if (!options.find(op->attributes[i], &value) || value < 0 || value > INT32_MAX)
      return bad(name, op->attributes[i], value);
    spec.attributes[i] = static_cast<int32_t>(value);
  }
  if (op->kind == OpKind::pixel_shuffle) {
    if (spec.attributes[0] < 1 || spec.attributes[0] > kMaxUp / up) return bad(name, "factor", spec.attributes[0]);
    up *= spec.attributes[0];
  }
  next = 0;
  for (int place = 0; place < output_count; ++place) {
    if ((results >> place & 1) == 0) {
      spec.outputs[place] = kAbsent;
      continue;
    }
    if (next >= taken) return bad(name, "results are missing, got", static_cast<int64_t>(taken));
    BITSR_CHECK(new_value(name, node.outputs[next++], op->outputs[place].kind, up, &spec.outputs[place]));
  }
  if (next != taken) return bad(name, "unknown results, got", static_cast<int64_t>(taken));
  return builder_->add_op(spec) ? Status{} : no_memory(name);
}

Status Translation::add_sum(const GraphNode& node) {
  if (node.inputs.size() != 2 || node.outputs.size() != 1)
    return bad(kAdd, "operands are missing, got", static_cast<int64_t>(node.inputs.size()));
  OpSpec spec{};
  spec.kind = OpKind::add;
  spec.input_count = 2;
  spec.output_count = 1;
  // Both have the size of the one that is known.
  const int32_t known = std::max(value_of(node.inputs[0]), value_of(node.inputs[1]));
  const int32_t up = known == kAbsent ? 1 : ups_[static_cast<size_t>(known)];
  BITSR_CHECK(read_value(kAdd, node.inputs[0], ValueKind::map, up, &spec.inputs[0]));
  BITSR_CHECK(read_value(kAdd, node.inputs[1], ValueKind::map, up, &spec.inputs[1]));
  BITSR_CHECK(new_value(kAdd, node.outputs[0], ValueKind::map, up, &spec.outputs[0]));
  return builder_->add_op(spec) ? Status{} : no_memory(kAdd);
}

// `up`: how many times the program's first map a map that is new here is large.
Status Translation::read_value(const char* name, int32_t tensor, ValueKind kind, int32_t up, int32_t* value) {
  *value = value_of(tensor);
  if (*value != kAbsent) return {};
  BITSR_CHECK(new_value(name, tensor, kind, up, value));
  GraphTensor found;
  if (tensors_.find(tensor, &found) && found.is_constant) return bad(name, "an input is a constant", tensor);
  inputs_.push_back(tensor);
  return builder_->add_input(*value) ? Status{} : no_memory(name);
}

Status Translation::new_value(const char* name, int32_t tensor, ValueKind kind, int32_t up, int32_t* value) {
  GraphTensor found;
  if (value_of(tensor) != kAbsent) return bad(name, "it writes what was there before, tensor", tensor);
  if (!tensors_.find(tensor, &found)) return bad(name, "an operand is no tensor", tensor);
  const int rank = kind == ValueKind::vector ? 2 : kRankOfMaps;
  // Which maps may be of pixels the core knows.
  const bool pixels = kind == ValueKind::map && found.is_uint8;
  if ((!found.is_float32 && !pixels) || found.rank != rank) return bad(name, "a tensor is not float32 of rank", rank);
  if (!builder_->add_value({pixels ? ValueKind::pixels : kind, found.channels, up, 1})) return no_memory(name);
  *value = static_cast<int32_t>(ups_.size());
  values_.emplace(tensor, *value);
  ups_.push_back(up);
  return {};
}

Status Translation::read_constant(const char* name, int32_t tensor, Constant* constant) const {
  GraphTensor found;
  if (!tensors_.find(tensor, &found)) return bad(name, "an operand is no tensor", tensor);
  if (!found.is_constant || found.data == nullptr) return bad(name, "an operand is no constant", tensor);
  *constant = {found.data, found.bytes};
  return {};
}

}  // namespace bitsr::tflite
