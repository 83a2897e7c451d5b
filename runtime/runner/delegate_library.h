// The library of our delegate for a .tflite, opened at run time, and what it tells of a run.
#pragma once

#include <string>

#include "../tflite/delegate.h"
#include "network.h"

namespace bitsr {

// Lives as long as the network that uses it, and does not move.
class Delegate {
 public:
  // `library` may be empty: where the build put it.
  Outcome open(const std::string& library, Isa isa, int32_t threads);
  // A new one for an interpreter, in the library's hands; null: last_error() says why. The last one made is watched.
  TfLiteDelegate* make();
  // Ends what make() gave, on any thread.
  using Destroy = void (*)(TfLiteDelegate*);
  Destroy destroy() const { return destroy_; }

  bool in_use() const { return made_ != nullptr; }
  // One call of `run`, whose events become calls of the hooks; `ours_ms` is the time of our ops.
  template <typename Run>
  auto watched(const RunHooks& hooks, Run run, double* ours_ms) {
    Watch watch;
    watch.hooks = &hooks;
    const Profiler profiler = {&watch, op_begins, op_ends};
    const Observer observer = {&watch, hooks.result == nullptr ? nullptr : op_result};
    watch_(made_, &profiler, &observer);
    const auto status = run();
    watch_(made_, nullptr, nullptr);
    *ours_ms = watch.ours_ms;
    return status;
  }

  // What the delegate said last on this thread; empty where it said nothing since clear_error().
  static const char* last_error();
  static void clear_error();

 private:
  struct Watch {
    const RunHooks* hooks = nullptr;
    int32_t partition = -1;
    double ours_ms = 0;
    std::string name;
    Clock::time_point start{};
  };
  static void op_begins(void* context, int32_t op, const char* name);
  static void op_ends(void* context, int32_t op);
  static void op_result(void* context, int32_t op, int32_t output, const StridedView& result);

  decltype(&tflite_plugin_create_delegate) create_ = nullptr;
  Destroy destroy_ = nullptr;
  decltype(&bitsr_tflite_watch) watch_ = nullptr;

  TfLiteDelegate* made_ = nullptr;
  Isa isa_ = Isa::automatic;
  int32_t threads_ = 1;
};

}  // namespace bitsr
