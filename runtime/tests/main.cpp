#include <gtest/gtest.h>

#include <cstdio>

#include "random.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::printf("BITSR_TEST_SEED=%llu\n", static_cast<unsigned long long>(bitsr_test::run_seed()));
  return RUN_ALL_TESTS();
}
