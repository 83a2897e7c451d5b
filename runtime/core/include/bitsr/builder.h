// Builds a program op by op, in memory. The blob parser uses it, and so does every shim whose framework hands over
// single ops: there is one validation and one planner.
#pragma once

#include "bitsr/program.h"

namespace bitsr {

enum class ValueKind : uint32_t {
  map = 0,     // (N, C, H, W)
  vector = 1,  // (N, C)
  plane = 2,   // (N, 1, H, W)
  pixels = 3,  // (N, C, H, W) in 8 bits, of an input or an output of the program: a map of level / 255
};

inline bool is_map(ValueKind kind) { return kind == ValueKind::map || kind == ValueKind::pixels; }

// Roles of inputs, outputs, constants and attributes by position: the table in docs/formats.md.
enum class OpKind : uint32_t {
  binary_conv2d = 1,
  channel_gate = 2,
  spatial_gate = 3,
  add = 4,
  pixel_shuffle = 5,
  quantized_spatial_gate = 6,
  quantized_conv2d = 7,
  channel_norm = 8,
  pixel_gate = 9,
  rescale = 10,
};

constexpr int32_t kAbsent = -1;
constexpr int32_t kMaxInputs = 5;
constexpr int32_t kMaxOutputs = 2;
constexpr int32_t kMaxConstants = 7;
constexpr int32_t kMaxAttributes = 5;

// A map or plane of the value is (H * up / down) by (W * up / down) of the program's first input.
struct ValueSpec {
  ValueKind kind;
  int32_t channels;
  int32_t up, down;
};

struct Constant {
  const void* data;  // null when absent; need not be aligned; read by finish() and not later
  size_t bytes;
};

struct OpSpec {
  OpKind kind;
  int32_t input_count, output_count, constant_count, attribute_count;
  int32_t inputs[kMaxInputs];    // value ids or kAbsent
  int32_t outputs[kMaxOutputs];  // value ids or kAbsent
  Constant constants[kMaxConstants];
  int32_t attributes[kMaxAttributes];
};

class ProgramBuilder {
 public:
  ProgramBuilder();
  ~ProgramBuilder();

  // Ids count from 0 in the order of the calls. False: out of memory.
  bool add_value(const ValueSpec& value);
  bool add_op(const OpSpec& op);
  bool add_input(int32_t value);
  bool add_output(int32_t value);

  // Checks everything, plans the buffers and lays out the constants for the instruction set.
  Status finish(Isa isa, Program** program);

  ProgramBuilder(const ProgramBuilder&) = delete;
  ProgramBuilder& operator=(const ProgramBuilder&) = delete;

 private:
  Program::Impl* impl_;
};

}  // namespace bitsr
