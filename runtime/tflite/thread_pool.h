// Threads for the core: TensorFlow Lite tells a delegate how many to use, and offers none.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace bitsr::tflite {

// Processors that the calling thread, and threads that it starts, may run on; 0 where the system does not say.
int available_processors();

class ThreadPool {
 public:
  using Task = void (*)(void* arg, int64_t begin, int64_t end);

  // `threads` includes the caller of run(). Where `processors` has one for each of them they wait awake for a while
  // before they sleep; with fewer, a thread that waits awake only keeps another from its work. Throws std::system_error
  // where the system has no more threads.
  explicit ThreadPool(int threads, int processors = available_processors());
  ~ThreadPool();

  int size() const { return static_cast<int>(workers_.size()) + 1; }
  // Every index of [0, count) once. Callers at the same time take turns; a task must not call it.
  void run(int64_t count, Task task, void* arg);

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

 private:
  // What threads write often lies on cache lines of its own, so that a write disturbs nobody who reads something else.
  static constexpr size_t kCacheLine = 64;

  void work();
  void take_ranges();
  void stop();

  const bool awake_;
  std::vector<std::thread> workers_;
  std::mutex turn_;  // held for a whole run
  std::mutex mutex_;
  std::condition_variable begin_, done_;

  // Written under mutex_, so that nobody falls asleep over a change; read without it while somebody waits awake.
  alignas(kCacheLine) std::atomic<uint64_t> job_{0};
  std::atomic<bool> stopping_{false};  // with job_: read together, and written once
  alignas(kCacheLine) std::atomic<size_t> busy_{0};
  alignas(kCacheLine) std::atomic<int64_t> next_{0};

  // The job: written while no worker is busy.
  alignas(kCacheLine) Task task_ = nullptr;
  void* arg_ = nullptr;
  int64_t count_ = 0, step_ = 1;
};

// The pools of a delegate: one for each number of threads, for as long as somebody keeps it.
class ThreadPools {
 public:
  std::shared_ptr<ThreadPool> get(int threads);

 private:
  std::mutex mutex_;
  std::map<int, std::weak_ptr<ThreadPool>> pools_;
};

}  // namespace bitsr::tflite
