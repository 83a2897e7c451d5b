// Public interface of the bitsr core: load a program blob, run it on float maps.
//
// The core is freestanding C++17: no exceptions, no RTTI, no standard-library runtime, no framework header. The laws
// that its results obey are in ARCHITECTURE.md, the ops and the blob format in docs/formats.md.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bitsr/isa.h"

namespace bitsr {

enum class StatusCode {
  ok,
  invalid_program,   // the blob is no valid program
  newer_version,     // the blob was written for a later version of this library
  invalid_argument,  // a call's tensors do not fit the program
  out_of_memory,
  unsupported_isa,  // this build or this processor lacks the wanted instruction set
  cancelled,        // RunOptions::gate ended the run
};

struct Status {
  StatusCode code = StatusCode::ok;
  char message[256] = {};  // what, expected, got, what to do; empty when ok
  bool ok() const { return code == StatusCode::ok; }
};

enum class Layout { nchw, nhwc };

// A float32 tensor of a caller, or 8 bits a value where `pixels` is set. Vectors (N, C) have h = w = 1. The data is
// dense in the named layout.
struct TensorView {
  float* data;
  int64_t n, c, h, w;
  Layout layout;
  // For values of pixels alone, which take either kind: of an input level / 255, of an output clipped to [0, 1], times
  // 255 and rounded half up, NaN as 0. As floats these values are not clipped and not rounded.
  uint8_t* pixels = nullptr;
};

struct Shape {
  int64_t n, c, h, w;
};

// One picture of a map, plane or vector in any order: element (c, y, x) is data[c * channel + y * row + x * column].
// Vectors have h = w = 1.
struct StridedView {
  float* data;
  int64_t c, h, w;
  int64_t channel, row, column;
};
// Writes c * h * w floats, dense as (C, H, W).
void copy_dense(const StridedView& from, float* to);

// The caller's thread pool. `run` splits [0, count) into ranges, calls `task(arg, begin, end)` for each, possibly at
// the same time, and returns when all are done. A null `run` means the calling thread. Results do not depend on the
// split.
struct Parallel {
  void* context = nullptr;
  void (*run)(void* context, int64_t count, void (*task)(void* arg, int64_t begin, int64_t end), void* arg) = nullptr;
};

// Called around every op; both may be null.
struct Profiler {
  void* context = nullptr;
  void (*begin)(void* context, int32_t op, const char* name) = nullptr;
  void (*end)(void* context, int32_t op) = nullptr;
};

// Called for each result of an op when the op is done; may be null. `output` is its place in the table of
// docs/formats.md. The data is only read, and only during the call.
struct Observer {
  void* context = nullptr;
  void (*result)(void* context, int32_t op, int32_t output, const StridedView& result) = nullptr;
};

// Asked before each op on the thread of the caller; false ends the run. May be null.
struct Gate {
  void* context = nullptr;
  bool (*proceed)(void* context) = nullptr;
};

// What a run uses, whom it tells and asks. A network's end runs strip by strip, its maps are never whole, and the gate
// is asked before each op of each strip; with a profiler or an observer each op runs once, and takes memory for it.
struct RunOptions {
  Parallel parallel;
  Profiler profiler;
  Observer observer;
  Gate gate{};
  // Rows of the first input that a strip belongs to; 0: by the size of the maps.
  int64_t strip_rows = 0;
};

// 2: values of pixels.
constexpr uint32_t kProgramVersion = 2, kPixelsVersion = 2;
// Longest side of a picture, in pixels.
constexpr int64_t kMaxSide = 1 << 20;

// A loaded program with its buffers. One run at a time; separate programs are independent.
class Program {
 public:
  // Checks the whole blob and copies what it needs: the blob may be freed and needs no alignment.
  static Status load(const void* blob, size_t size, Isa isa, Program** program);
  static void destroy(Program* program);

  int32_t input_count() const;
  int32_t output_count() const;
  int32_t op_count() const;
  const char* op_name(int32_t op) const;
  // Whether a value is of pixels, which a caller may hand over in 8 bits.
  bool input_is_pixels(int32_t input) const;
  bool output_is_pixels(int32_t output) const;
  Isa isa() const;  // the one in use, never `automatic`

  // The shape that an input must have when the first one is (n, ?, h, w).
  Status input_shape(int32_t input, int64_t n, int64_t h, int64_t w, Shape* shape) const;
  // Shapes of all outputs for these input shapes; `shapes` has room for output_count().
  Status output_shapes(const TensorView* inputs, Shape* shapes) const;

  // Computes all outputs; their views must have the shapes above. Input data is not changed.
  Status run(const TensorView* inputs, const TensorView* outputs, const RunOptions& options = {});

  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

 private:
  friend class ProgramBuilder;
  struct Impl;
  explicit Program(Impl* impl) : impl_(impl) {}
  ~Program();
  Impl* impl_;
};

}  // namespace bitsr
