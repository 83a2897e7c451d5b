// Our delegate as an accelerator of LiteRT: its library, how LiteRT gets it, and what it tells of a run.
#pragma once

#include <string>

#include "litert.h"
#include "network.h"

struct TfLiteDelegate;

namespace bitsr {

// Lives as long as the network that uses it, and does not move.
class Delegate {
 public:
  // `library` may be empty: where the build put it.
  Outcome open(const std::string& library, const litert::Api& api, Isa isa, int32_t threads);
  // Makes it known to the environment, beside XNNPACK.
  litert::Status add_to(litert::Handle environment);
  // CreateCompiledModel, which asks for the delegate.
  litert::Status compile(litert::Handle environment, litert::Handle model, litert::Handle options,
                         litert::Handle* compiled);
  // Before the model that it made goes away, on the same thread.
  void before_destruction() const;

  bool in_use() const { return made_ != nullptr; }
  // One call of `run`, a litert::Status, whose events become calls of the hooks; `ours_ms` is the time of our ops.
  template <typename Run>
  litert::Status watched(const RunHooks& hooks, Run run, double* ours_ms) {
    Watch watch;
    watch.hooks = &hooks;
    const Profiler profiler = {&watch, op_begins, op_ends};
    const Observer observer = {&watch, hooks.result == nullptr ? nullptr : op_result};
    watch_(made_, &profiler, &observer);
    const litert::Status status = run();
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
  static litert::Status make(void*, litert::Handle, litert::Handle, litert::Handle, litert::Handle* wrapper);
  static void op_begins(void* context, int32_t op, const char* name);
  static void op_ends(void* context, int32_t op);
  static void op_result(void* context, int32_t op, int32_t output, const StridedView& result);

  // The exports of runtime/tflite/delegate.h.
  TfLiteDelegate* (*create_)(const char* const*, const char* const*, size_t, void (*)(const char*)) = nullptr;
  void (*destroy_)(TfLiteDelegate*) = nullptr;
  void (*watch_)(TfLiteDelegate*, const Profiler*, const Observer*) = nullptr;

  const litert::Api* api_ = nullptr;
  TfLiteDelegate* made_ = nullptr;
  Isa isa_ = Isa::automatic;
  int32_t threads_ = 1;
};

}  // namespace bitsr
