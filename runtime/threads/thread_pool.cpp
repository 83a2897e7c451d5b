#include "bitsr/thread_pool.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <system_error>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace bitsr {

namespace {
// Ranges for each thread: enough that a slow core of a phone takes fewer of them.
constexpr int64_t kRangesPerThread = 4;

// How long a thread waits awake before it sleeps. The next op of a network comes sooner; waking takes as long as an op.
constexpr std::chrono::microseconds kAwake{100};
constexpr int kLooksPerClock = 32;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Wait awake until `done()` or the time is up.
template <typename Done>
void wait_awake(const Done& done) {
  const auto end = std::chrono::steady_clock::now() + kAwake;
  do {
    for (int look = 0; look < kLooksPerClock; ++look) {
      if (done()) return;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
}

// How many forks lie between the first pool's process and this one: the number of a process among its ancestors, where
// a process id may come again.
std::atomic<int> forks{0};

int generation() {
  // Registered once, before there are workers that a fork could leave behind.
  static const int failure = pthread_atfork(nullptr, nullptr, [] { ++forks; });
  if (failure != 0) throw std::system_error(failure, std::generic_category(), "pthread_atfork");
  return forks.load();
}

}  // namespace

int available_processors() {
#ifdef __linux__
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0) return CPU_COUNT(&mask);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

// The threads of one process and their job.
class ThreadPool::Workers {
 public:
  // `count` threads beside the caller's.
  Workers(int count, bool awake) : generation_(generation()), awake_(awake) {
    try {
      for (int i = 0; i < count; ++i) threads_.emplace_back([this] { work(); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~Workers() { stop(); }

  bool is_here() const { return generation_ == forks.load(); }
  void run(int64_t count, Task task, void* arg);

 private:
  // What threads write often lies on cache lines of its own, so that a write disturbs nobody who reads something else.
  static constexpr size_t kCacheLine = 64;

  void work();
  void take_ranges();
  void stop();

  const int generation_;
  const bool awake_;
  std::vector<std::thread> threads_;
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

void ThreadPool::Workers::stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  begin_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::Workers::run(int64_t count, Task task, void* arg) {
  const std::lock_guard<std::mutex> turn(turn_);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    task_ = task;
    arg_ = arg;
    count_ = count;
    step_ = std::max<int64_t>(1, count / (kRangesPerThread * static_cast<int64_t>(threads_.size() + 1)));
    next_.store(0);
    busy_ = threads_.size();
    ++job_;
  }
  begin_.notify_all();
  take_ranges();
  const auto finished = [this] { return busy_.load() == 0; };
  if (awake_) wait_awake(finished);
  std::unique_lock<std::mutex> lock(mutex_);
  done_.wait(lock, finished);
}

void ThreadPool::Workers::take_ranges() {
  for (;;) {
    const int64_t begin = next_.fetch_add(step_);
    if (begin >= count_) return;
    task_(arg_, begin, std::min(count_, begin + step_));
  }
}

void ThreadPool::Workers::work() {
  uint64_t seen = 0;
  const auto called = [&] { return stopping_.load() || job_.load() != seen; };
  for (;;) {
    if (awake_ && seen != 0) wait_awake(called);
    {
      std::unique_lock<std::mutex> lock(mutex_);
      begin_.wait(lock, called);
      if (stopping_) return;
      seen = job_;
    }
    take_ranges();
    const std::lock_guard<std::mutex> lock(mutex_);
    if (--busy_ == 0) done_.notify_one();
  }
}

ThreadPool::ThreadPool(int threads, int processors) : threads_(std::max(1, threads)), awake_(threads_ <= processors) {
  if (threads_ > 1) workers_ = new Workers(threads_ - 1, awake_);
}

ThreadPool::~ThreadPool() {
  Workers* const workers = workers_.load();
  if (workers != nullptr && workers->is_here()) delete workers;
}

void ThreadPool::run(int64_t count, Task task, void* arg) {
  if (count <= 0) return;
  if (threads_ == 1 || count == 1)
    task(arg, 0, count);
  else
    workers_here()->run(count, task, arg);
}

// What fork() left behind in a child stays as it is: its threads are not there to be joined, and its mutexes may be
// locked for ever. Where several threads of a child come first, all but one of their new workers go again.
ThreadPool::Workers* ThreadPool::workers_here() {
  Workers* workers = workers_.load();
  if (workers->is_here()) return workers;
  auto fresh = std::make_unique<Workers>(threads_ - 1, awake_);
  return workers_.compare_exchange_strong(workers, fresh.get()) ? fresh.release() : workers;
}

Parallel ThreadPool::parallel() {
  if (threads_ == 1) return {};
  return {this, [](void* pool, int64_t count, Task task, void* arg) {
            static_cast<ThreadPool*>(pool)->run(count, task, arg);
          }};
}

std::shared_ptr<ThreadPool> ThreadPools::get(int threads) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::weak_ptr<ThreadPool>& kept = pools_[threads];
  std::shared_ptr<ThreadPool> pool = kept.lock();
  if (pool == nullptr) {
    pool = std::make_shared<ThreadPool>(threads);
    kept = pool;
  }
  return pool;
}

}  // namespace bitsr
