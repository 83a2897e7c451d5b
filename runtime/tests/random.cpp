#include "random.h"

#include <chrono>
#include <cstdlib>

namespace bitsr_test {

uint64_t run_seed() {
  static const uint64_t seed = [] {
    const char* text = std::getenv("BITSR_TEST_SEED");
    return text ? std::strtoull(text, nullptr, 10)
                : static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()) % 1000000;
  }();
  return seed;
}

std::vector<float> Random::reals(size_t count, float scale) {
  std::vector<float> values(count);
  for (float& value : values) value = real() * scale;
  return values;
}

}  // namespace bitsr_test
