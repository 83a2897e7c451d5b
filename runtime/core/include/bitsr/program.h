// Public interface of the bitsr core: load a program blob, run it on float maps.
//
// The core is freestanding C++17: no exceptions, no RTTI, no standard-library runtime, no framework header. The laws
// that its results obey, the ops and the blob format are in ARCHITECTURE.md.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitsr {

enum class StatusCode {
  ok,
  invalid_program,   // the blob is no valid program
  newer_version,     // the blob was written for a later version of this library
  invalid_argument,  // a call's tensors do not fit the program
  out_of_memory,
  unsupported_kernel,  // this processor lacks the instructions of the wanted kernel
};

struct Status {
  StatusCode code = StatusCode::ok;
  char message[256] = {};  // what, expected, got, what to do; empty when ok
  bool ok() const { return code == StatusCode::ok; }
};

enum class Layout { nchw, nhwc };

// A float32 tensor of a caller. Vectors (N, C) have h = w = 1. The data is dense in the named layout.
struct TensorView {
  float* data;
  int64_t n, c, h, w;
  Layout layout;
};

struct Shape {
  int64_t n, c, h, w;
};

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

enum class Kernel { automatic, portable, avx2, avx512, neon };

const char* kernel_name(Kernel kernel);
// False, and `kernel` untouched, when `name` is none of auto, portable, avx2, avx512, neon.
bool parse_kernel(const char* name, Kernel* kernel);
// Whether this build has the kernel and this processor its instructions.
bool kernel_available(Kernel kernel);

constexpr uint32_t kProgramVersion = 1;
// Longest side of a picture, in pixels.
constexpr int64_t kMaxSide = 1 << 20;

// A loaded program with its buffers. One run at a time; separate programs are independent.
class Program {
 public:
  // Checks the whole blob and copies what it needs: the blob may be freed and needs no alignment.
  static Status load(const void* blob, size_t size, Kernel kernel, Program** program);
  static void destroy(Program* program);

  int32_t input_count() const;
  int32_t output_count() const;
  int32_t op_count() const;
  const char* op_name(int32_t op) const;
  Kernel kernel() const;  // the one in use, never `automatic`

  // Shapes of all outputs for these input shapes; `shapes` has room for output_count().
  Status output_shapes(const TensorView* inputs, Shape* shapes) const;

  // Computes all outputs; their views must have the shapes above. Input data is not changed.
  Status run(const TensorView* inputs, const TensorView* outputs, const Parallel& parallel, const Profiler& profiler);

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
