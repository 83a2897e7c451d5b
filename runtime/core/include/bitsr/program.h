// The public interface of the core: a program of bitsr ops over float32 maps (ARCHITECTURE.md has the laws, the ops and
// the blob format). No framework, no exceptions, no C++ runtime library.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitsr {

enum class StatusCode : int32_t {
  ok = 0,
  invalid_program,     // the blob or the built program is corrupt, truncated or contradicts itself
  newer_version,       // the blob was written for a later version of the runtime
  invalid_argument,    // a tensor given to run() does not fit the program
  out_of_memory,
  unsupported_kernel,  // the requested kernel is not in this build or not supported by this processor
};

// A message says what was expected, what was got and what to do next.
struct Status {
  StatusCode code = StatusCode::ok;
  char message[256] = {0};

  bool ok() const { return code == StatusCode::ok; }
};

enum class Layout : int32_t { nchw, nhwc };

// A dense float32 tensor of the caller. A vector value (N, C) has h = w = 1; a plane (N, 1, H, W) has c = 1.
struct TensorView {
  float* data = nullptr;
  int64_t n = 0, c = 0, h = 0, w = 0;
  Layout layout = Layout::nchw;
};

// The caller's thread pool. run() must execute task(arg, begin, end) for disjoint ranges that cover [0, count) and return
// when all are done; a null run means one thread. The results do not depend on the number of threads.
struct Parallel {
  void* context = nullptr;
  void (*run)(void* context, int64_t count, void (*task)(void* arg, int64_t begin, int64_t end), void* arg) = nullptr;
  int64_t threads = 1;  // how many threads run() uses at most: decides how finely the rows are split
};

// Called around every op, on the calling thread. `op` is the op's index in the program, `name` a static string.
struct Profiler {
  void* context = nullptr;
  void (*begin)(void* context, int op, const char* name) = nullptr;
  void (*end)(void* context, int op) = nullptr;
};

enum class Kernel : int32_t { automatic, portable, avx2, avx512, neon };

// "auto", "portable", "avx2", "avx512", "neon".
const char* kernel_name(Kernel kernel);
// Reads a name as kernel_name() writes it; returns false and leaves *kernel for anything else (null included).
bool parse_kernel(const char* name, Kernel* kernel);
// True when the kernel is in this build and this processor supports it; `automatic` always is.
bool kernel_available(Kernel kernel);
// The kernel that `automatic` stands for on this processor.
Kernel best_kernel();

enum class ValueKind : uint32_t { map = 0, vector = 1, plane = 2 };
enum class OpKind : uint32_t { binary_conv2d = 1, channel_gate = 2, spatial_gate = 3, add = 4, pixel_shuffle = 5 };

constexpr uint32_t kBlobVersion = 1;
constexpr uint32_t kAbsent = 0xFFFFFFFFu;  // an absent reference

// A loaded program. One run() at a time; different programs are independent of each other.
class Program {
 public:
  // Checks and loads a program blob. The blob needs no alignment and may be freed afterwards. On success *program is set
  // and must be given to destroy(); on failure it is null.
  static Status load(const void* blob, size_t size, Kernel kernel, Program** program);
  static void destroy(Program* program);

  Kernel kernel() const;  // never `automatic`
  uint32_t input_count() const;
  uint32_t output_count() const;
  uint32_t op_count() const;

  // The shape of output `index` for the given inputs: fills n, c, h, w of *shape and leaves data and layout.
  // The inputs' data pointers are not read.
  Status output_shape(const TensorView* inputs, uint32_t input_count, uint32_t index, TensorView* shape) const;

  // Runs the program on every image of the batch. Inputs are read only; outputs must not overlap inputs or each other.
  // `parallel` and `profiler` may be null. Working memory grows with the picture and is kept until destroy().
  Status run(const TensorView* inputs, uint32_t input_count, const TensorView* outputs, uint32_t output_count,
             const Parallel* parallel, const Profiler* profiler);

  // Bytes that the program holds: constants as laid out for the kernel, and working memory after the last run().
  size_t constant_bytes() const;
  size_t working_bytes() const;

 private:
  friend class ProgramBuilder;
  Program() = default;
  ~Program() = default;
  struct Impl;
  Impl* impl_ = nullptr;
};

// Constant data of an op: bytes of float32 or uint64 values, copied by add_op(). Absent: data null.
struct Constant {
  const void* data = nullptr;
  size_t bytes = 0;
};

// Builds a program in memory. Roles of inputs, outputs, constants and attributes go by position as in the program blob;
// an absent input or output is kAbsent, an absent constant has null data. Everything is checked by finish().
class ProgramBuilder {
 public:
  ProgramBuilder();
  ~ProgramBuilder();
  ProgramBuilder(const ProgramBuilder&) = delete;
  ProgramBuilder& operator=(const ProgramBuilder&) = delete;

  // Returns the value's id. A map or plane is (H * up / down) by (W * up / down) of the program's first input.
  uint32_t add_value(ValueKind kind, uint32_t channels, uint32_t up = 1, uint32_t down = 1);
  void add_input(uint32_t value);
  void add_output(uint32_t value);
  void add_op(OpKind kind, const uint32_t* inputs, uint32_t input_count, const uint32_t* outputs, uint32_t output_count,
              const Constant* constants, uint32_t constant_count, const int32_t* attributes, uint32_t attribute_count);

  // Checks the whole program and prepares it for the kernel; once per builder. As Program::load otherwise.
  Status finish(Kernel kernel, Program** program);

 private:
  struct Graph* graph_;
};

}  // namespace bitsr
