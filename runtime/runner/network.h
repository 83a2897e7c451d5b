// One loaded model, whatever its runtime; Session is built on it.
#pragma once

#include <chrono>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "bitsr/session.h"
#include "files.h"
#include "pixels.h"

namespace bitsr {

// What to do with networks that are none from a map to a map, such as classifiers that `bitsr convert` rewrote.
constexpr char kRunElsewhere[] = "run it in its runtime itself, with our delegate (docs/runtimes.md)";

class Network {
 public:
  virtual ~Network() = default;
  virtual Outcome set_input(const float* nchw, const Shape& shape) = 0;
  virtual Outcome execute(const RunHooks& hooks, RunTime* time) = 0;
  virtual Outcome get_output(float* nchw) const = 0;
  // The steps above in one, for which a network may do without maps of its own; `output` may be none then. `*made` says
  // what was computed, also where `out_count` values are not what it takes.
  virtual Outcome run(const std::string& path, const float* nchw, const Shape& shape, float* out, size_t out_count,
                      Shape* made, const RunHooks& hooks);

  // Session::output_for.
  virtual Outcome output_for(const std::string& path, const Shape& map, Shape* shape) const;

  // Session::set_other; the values are copied.
  Outcome set_other(const std::string& path, int32_t number, ElementType type, const void* values, int64_t count);

  // Filled when the model is loaded.
  Shape input{};                   // sides are 0 where any will do
  std::vector<OtherInput> others;  // in the order of the model
  int64_t max_pixels = 0;          // 0: no limit is known
  const char* runtime = "";
  std::string runtime_version;
  int32_t threads = 1;             // that run it
  bool lives_in_children = false;  // with several threads too, of a process that forks
  Shape output{};                  // of the last run

 protected:
  // Fails where the map has another size than the model's `input` takes.
  Outcome check_map(const std::string& path, const Shape& shape) const;
  // Fails where one of the other inputs was never set.
  Outcome check_others(const std::string& path) const;
  std::vector<Bytes> other_values;  // shorter than `others` until the last one is set
};

inline size_t byte_count(const OtherInput& other) {
  return static_cast<size_t>(other.count) * (other.type == ElementType::float32 ? sizeof(float) : sizeof(int64_t));
}
inline const char* type_name(ElementType type) { return type == ElementType::float32 ? "float32" : "int64"; }

struct NetworkOptions {
  std::string path;
  Isa isa;  // never `automatic`
  int32_t threads;
  std::string delegate_library, litert_library, pte_library;  // empty: of the build
};

// `content` is the file's; the network keeps it.
Outcome open_pte(Bytes content, const NetworkOptions& options, std::unique_ptr<Network>* network);
Outcome open_tflite(Bytes content, const NetworkOptions& options, std::unique_ptr<Network>* network);
// bitsr::set_process_threads.
Outcome set_executorch_threads(int32_t threads, const std::string& pte_library);

inline bool stopped(const RunHooks& hooks) { return hooks.proceed != nullptr && !hooks.proceed(hooks.context); }

using Clock = std::chrono::steady_clock;
inline double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Times what happens from its making on.
class Stopwatch {
 public:
  RunTime elapsed() const { return {ms_since(start_), cpu_ms() - cpu_start_}; }

 private:
  static double cpu_ms() {
    timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
  }
  double cpu_start_ = cpu_ms();
  Clock::time_point start_ = Clock::now();
};

}  // namespace bitsr
