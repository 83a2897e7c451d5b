// A small description of a program that the tests build, write as a blob, and compute by the naive reference.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bitsr/builder.h"
#include "bitsr/program.h"

namespace bitsr_test {

using bitsr::Isa;
using bitsr::Layout;
using bitsr::OpKind;
using bitsr::Status;
using bitsr::StatusCode;
using bitsr::ValueKind;
using Bytes = std::vector<uint8_t>;

// A tensor (N, C, H, W), dense in this order.
struct Map {
  int64_t n = 0, c = 0, h = 0, w = 0;
  std::vector<float> data;

  Map() = default;
  Map(int64_t n_, int64_t c_, int64_t h_, int64_t w_)
      : n(n_), c(c_), h(h_), w(w_), data(static_cast<size_t>(n_ * c_ * h_ * w_)) {}
  float& at(int64_t i, int64_t channel, int64_t y, int64_t x) {
    return data[static_cast<size_t>(((i * c + channel) * h + y) * w + x)];
  }
  float at(int64_t i, int64_t channel, int64_t y, int64_t x) const {
    return const_cast<Map*>(this)->at(i, channel, y, x);
  }
};

// Same shape and, bit for bit, the same values.
testing::AssertionResult same_bits(const Map& expected, const Map& got);

constexpr int kNone = -1;

struct NetValue {
  ValueKind kind;
  int channels, up, down;
};

struct NetOp {
  OpKind kind;
  std::vector<int> inputs, outputs;  // value ids or kNone
  std::vector<Bytes> constants;      // empty: absent
  std::vector<int> attributes;
};

struct Net {
  std::vector<NetValue> values;
  std::vector<NetOp> ops;
  std::vector<int> inputs, outputs;

  int value(ValueKind kind, int channels, int up = 1, int down = 1) {
    values.push_back({kind, channels, up, down});
    return static_cast<int>(values.size()) - 1;
  }
  int input(ValueKind kind, int channels, int up = 1, int down = 1) {
    inputs.push_back(value(kind, channels, up, down));
    return inputs.back();
  }
};

template <class T>
Bytes to_bytes(const std::vector<T>& values) {
  const auto* first = reinterpret_cast<const uint8_t*>(values.data());
  return Bytes(first, first + values.size() * sizeof(T));
}

struct Destroy {
  void operator()(bitsr::Program* program) const { bitsr::Program::destroy(program); }
};
using ProgramPointer = std::unique_ptr<bitsr::Program, Destroy>;

Status build(const Net& net, Isa isa, ProgramPointer* program);

struct RunSettings {
  int ranges = 1;  // in how many pieces Parallel cuts the rows; they run last piece first
  Layout inputs = Layout::nchw, outputs = Layout::nchw;
  int strip_rows = 0;
};

// Runs a loaded program; a failure is a test failure.
std::vector<Map> run(bitsr::Program* program, const std::vector<Map>& inputs, const RunSettings& settings = {});
std::vector<Map> run(const Net& net, const std::vector<Map>& inputs, Isa isa, const RunSettings& settings = {});

using bitsr::available_isas;

// Every instruction set, every cut, both layouts, strips of several heights: each output equals `expected` bit for bit.
void expect_everywhere(const Net& net, const std::vector<Map>& inputs, const std::vector<Map>& expected);

}  // namespace bitsr_test
