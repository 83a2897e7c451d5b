// Turns the events of one ExecuTorch run into the calls of RunHooks.
#pragma once

#include <executorch/runtime/core/event_tracer.h>

#include <string>
#include <vector>

#include "network.h"

namespace bitsr {

class EventRecorder final : public executorch::runtime::EventTracer {
  template <typename T>
  using Result = executorch::runtime::Result<T>;
  using Entry = executorch::runtime::EventTracerEntry;
  using Tensor = executorch::aten::Tensor;
  using DelegateId = executorch::runtime::DelegateDebugIntId;
  using ChainId = executorch::runtime::ChainID;
  using Handle = executorch::runtime::DebugHandle;

 public:
  // Records the next run only while `hooks` is set.
  void record(const RunHooks* hooks);
  // Hands the times over, in the order in which the events began.
  void report(const RunHooks& hooks) const;

  void create_event_block(const char*) override {}
  Entry start_profiling(const char* name, ChainId chain, Handle handle) override;
  void end_profiling(Entry entry) override;
  Entry start_profiling_delegate(const char* name, DelegateId index) override;
  void end_profiling_delegate(Entry entry, const void* metadata, size_t size) override;
  void log_profiling_delegate(const char* name, DelegateId index, et_timestamp_t start, et_timestamp_t end,
                              const void* metadata, size_t size) override;
  void track_allocation(executorch::runtime::AllocatorID, size_t) override {}
  executorch::runtime::AllocatorID track_allocator(const char*) override { return 0; }
  Result<bool> log_evalue(const executorch::runtime::EValue&, executorch::runtime::LoggedEValueType) override {
    return true;
  }
  Result<bool> log_intermediate_output_delegate(const char* name, DelegateId index, const Tensor& output) override;
  Result<bool> log_intermediate_output_delegate(const char*, DelegateId,
                                                const executorch::runtime::ArrayRef<Tensor>) override {
    return true;
  }
  Result<bool> log_intermediate_output_delegate(const char*, DelegateId, const int&) override { return true; }
  Result<bool> log_intermediate_output_delegate(const char*, DelegateId, const bool&) override { return true; }
  Result<bool> log_intermediate_output_delegate(const char*, DelegateId, const double&) override { return true; }
  void set_delegation_intermediate_output_filter(executorch::runtime::EventTracerFilterBase*) override {}

 private:
  struct Event {
    std::string name;
    const char* kind;
    Clock::time_point start;
    double ms;
  };
  Entry begin(const char* name, const char* kind);
  void end(const Entry& entry);

  const RunHooks* hooks_ = nullptr;
  std::vector<Event> events_;
  int32_t partition_ = -1;
};

}  // namespace bitsr
