// Random numbers that are the same on every platform.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace bitsr_test {

// The seed of this run: environment variable BITSR_TEST_SEED, or a fresh one; main() prints it.
uint64_t run_seed();

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t bits() { return engine_(); }
  // 0 .. count - 1.
  int64_t below(int64_t count) { return static_cast<int64_t>((engine_() >> 33) % static_cast<uint64_t>(count)); }
  bool coin() { return below(2) == 1; }
  // A multiple of 2^-22 in [-1, 1): many different values, and sums that round.
  float real() { return static_cast<float>(below(1 << 23) - (1 << 22)) / static_cast<float>(1 << 22); }
  std::vector<float> reals(size_t count, float scale = 1.0f);
  template <class T>
  T pick(const std::vector<T>& from) {
    return from[static_cast<size_t>(below(static_cast<int64_t>(from.size())))];
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace bitsr_test
