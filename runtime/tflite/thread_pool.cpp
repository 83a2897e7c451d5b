#include "thread_pool.h"

#include <algorithm>
#include <chrono>

#ifdef __linux__
#include <sched.h>
#endif

namespace bitsr::tflite {

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
}  // namespace

int available_processors() {
#ifdef __linux__
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0) return CPU_COUNT(&mask);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

ThreadPool::ThreadPool(int threads, int processors) : awake_(threads <= processors) {
  try {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  begin_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(int64_t count, Task task, void* arg) {
  if (count <= 0) return;
  if (workers_.empty() || count == 1) {
    task(arg, 0, count);
    return;
  }
  const std::lock_guard<std::mutex> turn(turn_);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    task_ = task;
    arg_ = arg;
    count_ = count;
    step_ = std::max<int64_t>(1, count / (kRangesPerThread * size()));
    next_.store(0);
    busy_ = workers_.size();
    ++job_;
  }
  begin_.notify_all();
  take_ranges();
  const auto finished = [this] { return busy_.load() == 0; };
  if (awake_) wait_awake(finished);
  std::unique_lock<std::mutex> lock(mutex_);
  done_.wait(lock, finished);
}

void ThreadPool::take_ranges() {
  for (;;) {
    const int64_t begin = next_.fetch_add(step_);
    if (begin >= count_) return;
    task_(arg_, begin, std::min(count_, begin + step_));
  }
}

void ThreadPool::work() {
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

}  // namespace bitsr::tflite
