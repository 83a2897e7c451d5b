// What every op takes and gives, by place: the table of docs/formats.md. Checks, names, the delegate's options and the
// tests read it; bitsr/artifact/program/op_table.py is its twin.
#pragma once

#include "bitsr/builder.h"

namespace bitsr {

// A value that an op reads or writes.
struct OperandInfo {
  const char* name;  // null behind the last one
  ValueKind kind;
  bool optional;
};

// `levels` are int8, or from program version 2 on int16: their bytes tell which.
enum class ConstantType : uint32_t { float32, uint64, int8, levels };

struct ConstantInfo {
  const char* name;  // null behind the last one
  ConstantType type;
  bool optional;
};

// How many entries stand before the first one without a name.
template <class Info, int32_t kMost>
constexpr int32_t count_named(const Info (&infos)[kMost]) {
  int32_t number = 0;
  while (number < kMost && infos[number].name) ++number;
  return number;
}

struct OpInfo {
  OpKind kind;
  const char* name;
  OperandInfo inputs[kMaxInputs];
  OperandInfo outputs[kMaxOutputs];
  ConstantInfo constants[kMaxConstants];
  const char* attributes[kMaxAttributes];  // null behind the last one

  constexpr int32_t input_count() const { return count_named(inputs); }
  constexpr int32_t output_count() const { return count_named(outputs); }
  constexpr int32_t constant_count() const { return count_named(constants); }
  constexpr int32_t attribute_count() const {
    int32_t number = 0;
    while (number < kMaxAttributes && attributes[number]) ++number;
    return number;
  }
};

struct OpTable {
  const OpInfo* first;
  const OpInfo* last;
  const OpInfo* begin() const { return first; }
  const OpInfo* end() const { return last; }
};
OpTable op_table();

// Null: no op of this version.
const OpInfo* find_op(OpKind kind);
// For messages: "unknown op" where there is none.
const char* op_name(OpKind kind);
size_t constant_bytes(ConstantType type);

}  // namespace bitsr
