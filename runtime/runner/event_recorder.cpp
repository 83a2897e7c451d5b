#include "event_recorder.h"

#include <cstdio>
#include <cstring>

namespace bitsr {
namespace {

// The scopes of the framework that say what is executed; the others only contain these.
constexpr char kDelegateCall[] = "DELEGATE_CALL";
constexpr char kOperatorCall[] = "OPERATOR_CALL";

// The backend names its ops "NUMBER NAME" and their results "NUMBER NAME/OUTPUT".
bool parse_name(const char* text, int* op, char (&name)[64]) {
  return std::sscanf(text, "%d %63[a-z0-9_]", op, name) == 2;
}

}  // namespace

void EventRecorder::record(const RunHooks* hooks) {
  hooks_ = hooks;
  partition_ = -1;
  events_.clear();
  const bool results = hooks != nullptr && hooks->result != nullptr;
  set_event_tracer_debug_level(results ? executorch::runtime::EventTracerDebugLogLevel::kIntermediateOutputs
                                       : executorch::runtime::EventTracerDebugLogLevel::kNoLogging);
}

void EventRecorder::report(const RunHooks& hooks) const {
  for (const Event& event : events_) hooks.profile(hooks.context, {event.name.c_str(), event.kind, event.ms});
}

EventRecorder::Entry EventRecorder::begin(const char* name, const char* kind) {
  Entry entry{};
  entry.event_id = -1;
  if (hooks_ == nullptr || kind == nullptr) return entry;
  entry.event_id = static_cast<int64_t>(events_.size());
  events_.push_back({name, kind, {}, 0.0});
  events_.back().start = Clock::now();
  return entry;
}

void EventRecorder::end(const Entry& entry) {
  if (hooks_ == nullptr || entry.event_id < 0 || static_cast<size_t>(entry.event_id) >= events_.size()) return;
  Event& event = events_[static_cast<size_t>(entry.event_id)];
  event.ms = ms_since(event.start);
}

EventRecorder::Entry EventRecorder::start_profiling(const char* name, ChainId, Handle) {
  if (name == nullptr) return begin("", nullptr);
  if (std::strcmp(name, kDelegateCall) == 0) return begin("delegate call", "delegate");
  const bool framework = std::strcmp(name, kOperatorCall) == 0 || std::strncmp(name, "native_call_", 12) == 0;
  return begin(name, framework ? "operator" : nullptr);
}

void EventRecorder::end_profiling(Entry entry) { end(entry); }

EventRecorder::Entry EventRecorder::start_profiling_delegate(const char* name, DelegateId) {
  int op = 0;
  char op_name[64];
  if (name == nullptr) return begin("", nullptr);
  if (!parse_name(name, &op, op_name)) return begin(name, "delegate");
  if (op == 0) ++partition_;
  return begin((std::to_string(partition_) + "/" + std::to_string(op) + " " + op_name).c_str(), "bitsr");
}

void EventRecorder::end_profiling_delegate(Entry entry, const void*, size_t) { end(entry); }

// Delegates that measure themselves give times in units that only they know: their call as a whole is there already.
void EventRecorder::log_profiling_delegate(const char*, DelegateId, et_timestamp_t, et_timestamp_t, const void*,
                                           size_t) {}

EventRecorder::Result<bool> EventRecorder::log_intermediate_output_delegate(const char* name, DelegateId,
                                                                            const Tensor& output) {
  int op = 0;
  char op_name[64];
  const char* slash = name == nullptr ? nullptr : std::strrchr(name, '/');
  if (hooks_ == nullptr || hooks_->result == nullptr || slash == nullptr || !parse_name(name, &op, op_name) ||
      output.dim() != 4)
    return true;
  const int64_t c = output.size(1), h = output.size(2), w = output.size(3);
  const StridedView result = {output.mutable_data_ptr<float>(), c, h, w, h * w, w, 1};
  hooks_->result(hooks_->context, partition_, op, op_name, std::atoi(slash + 1), result);
  return true;
}

}  // namespace bitsr
