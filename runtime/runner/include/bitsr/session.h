// Public interface of the runner: open a .pte or .tflite, run it on pictures or tensors.
//
// Nothing is thrown across this interface and nothing in it belongs to a framework, so that other languages can sit on
// it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bitsr/builder.h"
#include "bitsr/program.h"

namespace bitsr {

enum class ErrorKind {
  none,
  file,         // a file can not be read or written
  format,       // a file is none of ours, damaged, or newer than this library
  model,        // the runtime refuses the model
  unsupported,  // this build or this machine lacks a runtime, a library or an instruction set
  argument,     // the call does not fit the model
  memory,
  runtime,  // the network failed while it ran
  cancelled,
};

struct Outcome {
  ErrorKind kind = ErrorKind::none;
  char message[512] = {};  // what, expected, got, what to do; empty when ok
  bool ok() const { return kind == ErrorKind::none; }
};

enum class Format { pte, tflite };

enum class ElementType { float32, int64 };

// An input beside the map: a dense tensor of one size, such as the timestep of a step of a diffusion model.
struct OtherInput {
  ElementType type;
  int64_t count;  // of its values
};

struct SessionOptions {
  Isa isa = Isa::automatic;
  // All .pte sessions of a process share ExecuTorch's pool: the latest opened decides its size.
  int32_t threads = 1;
  const char* delegate_library = nullptr;  // libbitsr_tflite.so; null: where the build put it
  const char* litert_library = nullptr;    // libLiteRt.so; null: the one of the build
};

// Strings live as long as the session.
struct SessionInfo {
  Format format;
  int64_t bytes;             // of the file
  int32_t scale;             // 0: unknown, there is no sidecar
  const char* sidecar;       // JSON text; empty where there is none
  Shape input;               // sides are 0 where any will do
  const OtherInput* others;  // inputs beside the map, in the order of the model
  int32_t other_count;
  int64_t max_pixels;  // of an input; 0: no limit is known
  Isa isa;             // the one in use, never `automatic`
  int32_t threads;
  const char* runtime;  // "executorch" or "litert"
  const char* runtime_version;
};

// One timed piece of a run.
struct ProfileEntry {
  const char* name;  // valid during the call
  const char* kind;  // "bitsr": an op of our programs; "delegate": a call as a whole; "operator": the framework's own
  double ms;
};

// Time of one execution: on the clock, and of the processor in all threads of the process. With one thread the second
// is what the network takes where other programs share the processor.
struct RunTime {
  double ms = 0, cpu_ms = 0;
};

// What a run reports, and what can end it. Every member may be null.
struct RunHooks {
  void* context = nullptr;
  // Called between the parts of the network (ExecuTorch's instructions) and at the ends; false ends the run.
  bool (*proceed)(void* context) = nullptr;
  void (*profile)(void* context, const ProfileEntry& entry) = nullptr;
  // Results of the ops of our programs: partition, op and output number, op name as in ARCHITECTURE.md.
  void (*result)(void* context, int32_t partition, int32_t op, const char* name, int32_t output,
                 const StridedView& result) = nullptr;
};

// One loaded network with an input map, maybe other inputs, and an output map. One call at a time.
class Session {
 public:
  // The format is told by the file's content. `*session` is null on failure; end it by destroy().
  static Outcome open(const char* path, const SessionOptions& options, Session** session);
  static void destroy(Session* session);

  const SessionInfo& info() const;

  // The steps of a run, apart for timing. `set_input` takes dense NCHW float32 and keeps nothing of it. The output is
  // (N, C, H, W) of the last execute(); there is none if that did not succeed, or after an input of another size for a
  // .tflite.
  Outcome set_input(const float* nchw, const Shape& shape);
  // Input `number` of info().others, dense; all must be set once before the first run, and stay until they are set
  // again.
  Outcome set_other(int32_t number, ElementType type, const void* values, int64_t count);
  Outcome execute(const RunHooks& hooks, RunTime* time);
  Shape output_shape() const;
  Outcome get_output(float* nchw, size_t count) const;

  // 8-bit RGB pixels, rows dense: the network gets v / 255, its output is clamped to [0, 1] and rounded. The result is
  // (height * scale) by (width * scale); `out_bytes` must be what it takes.
  Outcome run_picture(const uint8_t* rgb, int64_t height, int64_t width, uint8_t* out, size_t out_bytes,
                      const RunHooks& hooks);
  // Size of the result of run_picture; fails where the model's scale is not known.
  Outcome picture_size(int64_t height, int64_t width, int64_t* out_height, int64_t* out_width) const;

  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

 private:
  struct Impl;
  explicit Session(Impl* impl) : impl_(impl) {}
  ~Session();
  Impl* impl_;
};

}  // namespace bitsr
