// From the ops of a TensorFlow Lite graph to a program of the core. The delegate and the reader of files share it: each
// hands over its own nodes and tensors in the form below.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bitsr/builder.h"

namespace bitsr::tflite {

constexpr int32_t kRankOfMaps = 4;  // (N, H, W, C); vectors (N, C) have 2

struct GraphTensor {
  bool is_float32 = false, is_uint8 = false;
  int32_t rank = -1;                    // -1: not known
  int32_t channels = 0;                 // the last side
  int32_t signature[kRankOfMaps] = {};  // all sides of a rank of 4, -1 where any will do
  bool is_constant = false;
  const void* data = nullptr;  // of a constant
  size_t bytes = 0;            // likewise
};

class GraphTensors {
 public:
  virtual ~GraphTensors() = default;
  // False: there is no tensor of that number.
  virtual bool find(int32_t number, GraphTensor* tensor) const = 0;
};

// A custom op of ours, or an addition.
struct GraphNode {
  std::string custom_name;  // empty: an addition
  std::vector<int32_t> inputs, outputs;
  const void* options = nullptr;  // of a custom op
  size_t option_bytes = 0;
};

// Whether an addition without an activation is one of the core: two maps of one size, neither of them a constant.
bool is_plain_add(const GraphTensors& tensors, const std::vector<int32_t>& inputs, const std::vector<int32_t>& outputs);

// Collects a program node by node.
class Translation {
 public:
  // Both live as long as it.
  Translation(const GraphTensors& tensors, ProgramBuilder* builder) : tensors_(tensors), builder_(builder) {}

  Status add_node(const GraphNode& node);

  // The program's inputs so far, by their tensors. They are read in the order of the ops, so that the first is a map.
  const std::vector<int32_t>& inputs() const { return inputs_; }
  // The program's value of a tensor; kAbsent: the program has none.
  int32_t value_of(int32_t tensor) const;

 private:
  Status add_custom(const GraphNode& node);
  Status add_sum(const GraphNode& node);
  Status read_value(const char* name, int32_t tensor, ValueKind kind, int32_t up, int32_t* value);
  Status new_value(const char* name, int32_t tensor, ValueKind kind, int32_t up, int32_t* value);
  Status read_constant(const char* name, int32_t tensor, Constant* constant) const;

  const GraphTensors& tensors_;
  ProgramBuilder* builder_;
  std::vector<int32_t> inputs_;
  std::map<int32_t, int32_t> values_;  // of tensors
  std::vector<int32_t> ups_;           // of every value: its size, as a multiple of the first map's
};

}  // namespace bitsr::tflite
