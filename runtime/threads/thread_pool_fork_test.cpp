// A pool that its process has used, in children of fork(): where none of its threads is, a run must still end. Built
// and run by tests/runtime/test_thread_pool.py.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "bitsr/thread_pool.h"

namespace {

using bitsr::ThreadPool;

constexpr int kThreads = 4;
constexpr int64_t kIndices = 64;
// A child that hangs ends by this signal's default action.
constexpr unsigned kPatience = 60;

// Whether a job visits every index once.
bool works(ThreadPool* pool) {
  std::vector<std::atomic<int>> visits(kIndices);
  pool->run(
      kIndices,
      [](void* arg, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) ++(*static_cast<std::vector<std::atomic<int>>*>(arg))[size_t(i)];
      },
      &visits);
  for (const std::atomic<int>& count : visits)
    if (count != 1) return false;
  return true;
}

void fail(const char* what, int got) {
  std::fprintf(stderr, "thread_pool_fork_test: %s, got %d\n", what, got);
  std::exit(1);
}

// Runs `body` in a child, which has to return true.
template <typename Body>
void in_child(const char* what, const Body& body) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) fail("fork() failed", child);
  if (child == 0) {
    alarm(kPatience);
    _exit(body() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) fail(what, status);
}

}  // namespace

int main() {
  for (const int processors : {0, kThreads}) {
    auto pool = std::make_unique<ThreadPool>(kThreads, processors);
    in_child("the pool was not used before", [&] { return works(pool.get()); });
    if (!works(pool.get())) fail("the pool does not work at all", processors);
    in_child("the pool was used before", [&] { return works(pool.get()) && works(pool.get()); });
    in_child("the child ends the pool unused", [&] {
      pool.reset();
      return true;
    });
    in_child("the child uses and ends the pool", [&] {
      const bool good = works(pool.get());
      pool.reset();
      return good;
    });
    in_child("threads of the child come at once", [&] {
      std::atomic<int> good{0};
      std::vector<std::thread> callers;
      for (int i = 0; i < kThreads; ++i) callers.emplace_back([&] { good += works(pool.get()); });
      for (std::thread& caller : callers) caller.join();
      return good == kThreads;
    });
    in_child("a child of the child", [&] {
      if (!works(pool.get())) return false;
      in_child("the child of the child", [&] { return works(pool.get()); });
      return works(pool.get());
    });
    if (!works(pool.get())) fail("the pool of the parent does not work any more", processors);

    // Forks in the middle of another thread's jobs, whatever it holds at that moment.
    std::atomic<bool> stop{false};
    std::thread busy([&] {
      while (!stop)
        if (!works(pool.get())) fail("a job beside forks", processors);
    });
    for (int i = 0; i < 30; ++i) in_child("a fork beside a job", [&] { return works(pool.get()); });
    stop = true;
    busy.join();
  }
  std::puts("ok");
}
