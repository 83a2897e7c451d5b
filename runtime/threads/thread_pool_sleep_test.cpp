// Threads of the pool that fall asleep just as the next job, the end of one or the end of the pool comes: who misses it
// sleeps for ever, and so does this program. ThreadSanitizer does not see that. Built and run by
// tests/tflite/test_thread_pool.py.
#include <pthread.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <thread>

#include "bitsr/thread_pool.h"

// In place of the C library's: the moment between the last look at a condition and the sleep, else too short for chance
// to hit it, is made long.
extern "C" int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
  std::this_thread::sleep_for(std::chrono::microseconds(50));
  const timespec never = {std::time(nullptr) + 1000000, 0};
  return pthread_cond_timedwait(condition, mutex, &never);
}

int main() {
  const auto nothing = [](void*, int64_t, int64_t) {};
  for (const int threads : {2, 3, 5}) {
    for (const int processors : {0, threads}) {
      bitsr::ThreadPool pool(threads, processors);
      for (int number = 0; number < 150; ++number) pool.run(threads, nothing, nullptr);
      for (int number = 0; number < 30; ++number)
        bitsr::ThreadPool(threads, processors).run(number % 3, nothing, nullptr);
    }
  }
  std::puts("ok");
}
