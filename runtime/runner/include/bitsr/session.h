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
  framework,  // the core alone was asked for, and the network has ops that are not ours
};

struct Outcome {
  ErrorKind kind = ErrorKind::none;
  char message[512] = {};  // what, expected, got, what to do; empty when ok
  bool ok() const { return kind == ErrorKind::none; }
};

enum class Format { pte, tflite };

// What runs a network: the core alone, which must have all of its ops; the framework of its format, with the core as a
// delegate; by default the core where it can, otherwise the framework.
enum class Runtime { automatic, core, framework };
// As users write it: "auto", "core", "framework". False, and `runtime` untouched, when it is none of these.
bool parse_runtime(const char* name, Runtime* runtime);
constexpr char kRuntimeNames[] = "auto, core, framework";

enum class ElementType { float32, int64 };

// An input beside the map: a dense tensor of one size, such as the timestep of a step of a diffusion model.
struct OtherInput {
  ElementType type;
  int64_t count;  // of its values
};

struct SessionOptions {
  Isa isa = Isa::automatic;
  Runtime runtime = Runtime::automatic;
  // 1: the calling thread alone, whatever pools the process has. More: so many threads of its own, but in ExecuTorch
  // those of its pool, which all of a process shares, and which has the size that its first user or
  // set_process_threads() gave it. Opening a session never changes it.
  int32_t threads = 1;
  const char* delegate_library = nullptr;  // libbitsr_tflite.so; null: where the build put it
  const char* litert_library = nullptr;    // libLiteRt.so or TensorFlow Lite; null: the one of the build
  const char* pte_library = nullptr;       // libbitsr_pte.so; null: where the build put it
  const char* name = nullptr;              // of an artifact in memory, for errors; null: "the artifact in memory"
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
  // What the metadata says of pictures, in pixels of the low resolution; 0 where there is none.
  int32_t in_channels, out_channels;
  int64_t min_side, multiple, receptive_field_radius;
  bool pixels;          // its input and output are uint8 in the file; maps here are float32 all the same
  float low, high;      // the value range of the network; 0 to 1 where there is none
  Isa isa;              // the one in use, never `automatic`
  int32_t threads;      // that run it: in ExecuTorch those of its pool where more than one was asked for
  const char* runtime;  // "core", "executorch", "litert" or, by TensorFlow Lite's C API, "tflite"
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
  // Called at the ends and between the parts of the network (the core's ops, ExecuTorch's instructions; LiteRT has
  // none); false ends the run.
  bool (*proceed)(void* context) = nullptr;
  void (*profile)(void* context, const ProfileEntry& entry) = nullptr;
  // Results of the ops of our programs: partition, op and output number, op name as in docs/formats.md.
  void (*result)(void* context, int32_t partition, int32_t op, const char* name, int32_t output,
                 const StridedView& result) = nullptr;
};

// The values of an input beside the map, dense.
struct OtherValues {
  ElementType type;
  const void* values;
  int64_t count;
};

// 8-bit pixels of a caller: grey (1 channel), grey and alpha (2), RGB (3) or RGBA (4), alpha not multiplied in.
struct Pixels {
  const uint8_t* data;
  int64_t width, height;
  int32_t channels;
  int64_t stride;  // bytes from a row to the next; 0: width * channels
  size_t bytes;    // of the memory
};

// Where an enlargement goes: scale * height rows of scale * width pixels, of the picture's channels.
struct OutputPixels {
  uint8_t* data = nullptr;
  int64_t stride = 0;  // 0: scale * width * channels
  size_t bytes = 0;
};

constexpr int64_t kTilePixels = 512 * 512;

// How a picture is upscaled. The functions run on the calling thread, and must not call the session.
struct UpscaleOptions {
  int64_t tile_pixels = 0;  // that the network gets at once, at most; 0: kTilePixels
  void* context = nullptr;
  // Called at the start, after each tile (pixels of the picture that are done, of all) and between the parts of the
  // network (RunHooks); false ends the call. May be null.
  bool (*progress)(void* context, int64_t done, int64_t total) = nullptr;
  // Where it is set, finished rows of the enlargement go here, from top to bottom, and OutputPixels is not used: memory
  // then holds one row of tiles. False ends the call.
  bool (*rows)(void* context, int64_t top, int64_t count, const uint8_t* pixels, int64_t stride) = nullptr;
};

// The size of ExecuTorch's pool, which all of a process shares: for programs that own the process, before they open a
// session of several threads. Refused while one is open; nothing else of the process may use ExecuTorch meanwhile.
Outcome set_process_threads(int32_t threads, const char* pte_library = nullptr);

// One loaded network with an input map, maybe other inputs, and an output map.
//
// Threads: run(), upscale() and run_picture() may be called from several threads at once; they take turns. The single
// steps belong together: execute() and get_output() fail where another thread has used the session since this thread
// set its input. Separate sessions are independent. After fork() a session of one thread works in the child too, and
// one of several in the core; in a framework that fails there, because its threads are the parent's.
class Session {
 public:
  // The format is told by the content. `*session` is null on failure; end it by destroy().
  static Outcome open(const char* path, const SessionOptions& options, Session** session);
  // From memory, which is copied. `metadata` is the text of a .pte's sidecar, null where there is none; a .tflite has
  // its own.
  static Outcome open_memory(const void* content, size_t size, const char* metadata, const SessionOptions& options,
                             Session** session);
  // Not while a call runs.
  static void destroy(Session* session);

  const SessionInfo& info() const;

  // The shape of the output for a map of this shape. Frameworks say it after a run alone: there it is refused.
  Outcome output_for(const Shape& map, Shape* shape) const;

  // A dense NCHW float32 map, in the network's value range, through the network. `others` are all of info().others;
  // `out` takes out_count values, and `*out_shape` says what was computed, also where that is too small.
  Outcome run(const float* nchw, const Shape& shape, const OtherValues* others, int32_t other_count, float* out,
              size_t out_count, Shape* out_shape, const RunHooks& hooks);

  // A picture of any size, tile by tile: the result does not depend on the tiles where the network looks at pixels near
  // by alone (info().receptive_field_radius).
  Outcome upscale(const Pixels& picture, const OutputPixels& output, const UpscaleOptions& options);

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

  // A whole picture of 8-bit RGB pixels, rows dense, without tiles: the network gets v / 255 in its value range, its
  // output is clamped and rounded half up. The result is (height * scale) by (width * scale); `out_bytes` must be what
  // it takes.
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
