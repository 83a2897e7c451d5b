// Our custom ops in a .tflite: what stands at which place. bitsr/artifact/program/op_table.py has the same table.
//
// Operands are the inputs, then the constants of the program op in ARCHITECTURE.md; absent ones are left out, and the
// option `operands` has a bit for each place that is taken. `results` does the same for outputs.
#pragma once

#include "bitsr/builder.h"

namespace bitsr::tflite {

constexpr int64_t kOptionsVersion = 2;

struct CustomOp {
  const char* name;
  OpKind kind;
  int32_t input_count, output_count, constant_count, attribute_count;
  ValueKind inputs[kMaxInputs];
  ValueKind outputs[kMaxOutputs];
  const char* attributes[kMaxAttributes];
};

// Null: not one of ours.
const CustomOp* find_custom_op(const char* name);
// Whether the name claims to be one of ours.
bool has_our_prefix(const char* name);

}  // namespace bitsr::tflite
