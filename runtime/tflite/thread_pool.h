// Threads for the core: TensorFlow Lite tells a delegate how many to use, and offers none.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace bitsr::tflite {

class ThreadPool {
 public:
  using Task = void (*)(void* arg, int64_t begin, int64_t end);

  // `threads` includes the caller of run(). Throws std::system_error where the system has no more threads.
  explicit ThreadPool(int threads);
  ~ThreadPool();

  int size() const { return static_cast<int>(workers_.size()) + 1; }
  // One call at a time.
  void run(int64_t count, Task task, void* arg);

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

 private:
  void work();
  void take_ranges();
  void stop();

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable begin_, done_;
  // Written under the mutex, so that nobody falls asleep over a change; read without it while somebody waits awake.
  std::atomic<uint64_t> job_{0};
  std::atomic<size_t> busy_{0};
  std::atomic<bool> stopping_{false};

  Task task_ = nullptr;
  void* arg_ = nullptr;
  int64_t count_ = 0, step_ = 1;
  std::atomic<int64_t> next_{0};
};

}  // namespace bitsr::tflite
