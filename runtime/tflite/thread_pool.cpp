#include "thread_pool.h"

#include <algorithm>

namespace bitsr::tflite {

namespace {
// Ranges for each thread: enough that a slow core of a phone takes fewer of them.
constexpr int64_t kRangesPerThread = 4;
}  // namespace

ThreadPool::ThreadPool(int threads) {
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
  std::unique_lock<std::mutex> lock(mutex_);
  done_.wait(lock, [this] { return busy_ == 0; });
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
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    begin_.wait(lock, [&] { return stopping_ || job_ != seen; });
    if (stopping_) return;
    seen = job_;
    lock.unlock();
    take_ranges();
    lock.lock();
    if (--busy_ == 0) done_.notify_one();
  }
}

}  // namespace bitsr::tflite
