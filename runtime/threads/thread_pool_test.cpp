// The thread pool under small jobs, for ThreadSanitizer: tests/tflite/test_thread_pool.py builds and runs it.
#include "bitsr/thread_pool.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace {

using bitsr::available_processors;
using bitsr::ThreadPool;
using bitsr::ThreadPools;

constexpr int64_t kMostIndices = 200;
// About how long a thread waits awake: a pause like this lets some fall asleep, catches some in between.
constexpr std::chrono::microseconds kPause{100};

// Not an assertion: those of a release build check nothing.
void check(bool good, const char* what, long long got) {
  if (good) return;
  std::fprintf(stderr, "thread_pool_test: %s, got %lld\n", what, got);
  std::exit(1);
}

// Plain numbers: ThreadSanitizer reports who touches one without order, the caller's reading included.
struct Job {
  std::vector<int> visits;
};

void visit(void* arg, int64_t begin, int64_t end) {
  auto* job = static_cast<Job*>(arg);
  check(begin < end, "an empty range begins at", begin);
  for (int64_t i = begin; i < end; ++i) ++job->visits[static_cast<size_t>(i)];
}

// Runs `jobs` jobs of 0 to kMostIndices indices; every seventh comes after a pause.
void run_jobs(ThreadPool* pool, int jobs, unsigned seed) {
  std::mt19937 random(seed);
  Job job;
  for (int number = 0; number < jobs; ++number) {
    // Mostly a few indices: fewer than threads, one for each, one more.
    const auto most = number % 3 == 0 ? kMostIndices : int64_t{9};
    const auto count = static_cast<int64_t>(random() % static_cast<unsigned>(most + 1));
    job.visits.assign(static_cast<size_t>(count), 0);
    pool->run(count, visit, &job);
    for (const int visits : job.visits) check(visits == 1, "an index has to be visited once", visits);
    if (random() % 7 == 0) std::this_thread::sleep_for(kPause * (random() % 3) / 2);
  }
}

void run_two_callers(ThreadPool* pool, int jobs) {
  std::thread other(run_jobs, pool, jobs, 1U);
  run_jobs(pool, jobs, 2);
  other.join();
}

// `processors`: as many as threads makes them wait awake, 0 makes them sleep, whatever the machine has.
void try_pools(int threads, int processors) {
  {
    ThreadPool pool(threads, processors);
    check(pool.size() == threads, "the pool has another size", pool.size());
    run_jobs(&pool, 600, 3);
    run_two_callers(&pool, 150);
  }
  // A pool may end before it has begun, and right after a job, its threads awake or falling asleep.
  for (int number = 0; number < 40; ++number) {
    ThreadPool pool(threads, processors);
    run_jobs(&pool, number % 4, static_cast<unsigned>(number));
  }
}

// A delegate's pools: two interpreters make and use them at once.
void try_shared_pools() {
  ThreadPools pools;
  {
    const auto two = pools.get(2), again = pools.get(2), three = pools.get(3);
    check(two == again, "the same number of threads has to give one pool, its users", two.use_count());
    check(two != three && three->size() == 3, "another number of threads has to give another pool", three->size());
  }
  const auto use = [&pools](unsigned seed) {
    for (unsigned number = 0; number < 50; ++number) run_jobs(pools.get(2).get(), 4, seed + number);
  };
  std::thread other(use, 100U);
  use(200U);
  other.join();
}

#ifdef __linux__
void try_one_processor() {
  cpu_set_t all, one;
  check(sched_getaffinity(0, sizeof(all), &all) == 0, "the processors are unknown", 0);
  check(available_processors() == CPU_COUNT(&all), "not the processors of the mask", available_processors());
  int first = 0;
  while (!CPU_ISSET(first, &all)) ++first;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  check(sched_setaffinity(0, sizeof(one), &one) == 0, "no mask of one processor", first);
  check(available_processors() == 1, "the mask has one processor", available_processors());
  ThreadPool pool(2);
  run_jobs(&pool, 300, 4);
  check(sched_setaffinity(0, sizeof(all), &all) == 0, "the mask does not come back", first);
}
#endif

}  // namespace

int main() {
#ifdef __linux__
  try_one_processor();
#endif
  const int beyond = available_processors() + 2;
  try_pools(1, 0);
  for (const int threads : {2, 4, beyond})
    for (const int processors : {0, threads}) try_pools(threads, processors);
  try_shared_pools();
  std::puts("ok");
}
