// Our custom ops in a .tflite: ops of the core's table under names of their own. The graph has no additions of ours.
//
// Operands are the inputs, then the constants of the table; absent ones are left out, and the option `operands` has a
// bit for each place that is taken. `results` does the same for outputs. The other options are the attributes by name.
#pragma once

#include "bitsr/op_table.h"

namespace bitsr::tflite {

constexpr int64_t kOptionsVersion = 2;

// Null: not one of ours.
const OpInfo* find_custom_op(const char* name);
// Whether the name claims to be one of ours.
bool has_our_prefix(const char* name);

}  // namespace bitsr::tflite
