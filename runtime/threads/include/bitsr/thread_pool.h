// Threads for the core, where a caller has none to lend.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "bitsr/program.h"

namespace bitsr {

// Processors that the calling thread, and threads that it starts, may run on; 0 where the system does not say.
int available_processors();

// It outlives fork(): the first run in a child starts threads of its own there, as fork() takes only its caller along.
class ThreadPool {
 public:
  using Task = void (*)(void* arg, int64_t begin, int64_t end);

  // `threads` includes the caller of run(). Where `processors` has one for each of them they wait awake for a while
  // before they sleep; with fewer, a thread that waits awake only keeps another from its work. Throws std::system_error
  // where the system has no more threads.
  explicit ThreadPool(int threads, int processors = available_processors());
  ~ThreadPool();

  int size() const { return threads_; }
  // Every index of [0, count) once. Callers at the same time take turns; a task must not call it. In a child process
  // the first call may throw as the constructor does.
  void run(int64_t count, Task task, void* arg);
  // For Program::run, as long as the pool lives; one thread is the caller's own.
  Parallel parallel();

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

 private:
  class Workers;

  Workers* workers_here();

  const int threads_;
  const bool awake_;
  std::atomic<Workers*> workers_{nullptr};
};

// Pools to share: one for each number of threads, for as long as somebody keeps it.
class ThreadPools {
 public:
  std::shared_ptr<ThreadPool> get(int threads);

 private:
  std::mutex mutex_;
  std::map<int, std::weak_ptr<ThreadPool>> pools_;
};

}  // namespace bitsr
