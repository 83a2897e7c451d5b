#include <gtest/gtest.h>

#include <cstdio>

#include "net.h"
#include "random.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::printf("BITSR_TEST_SEED=%llu\n", static_cast<unsigned long long>(bitsr_test::run_seed()));
  std::printf("kernels:");
  for (const bitsr::Kernel kernel : bitsr_test::kernels()) std::printf(" %s", bitsr::kernel_name(kernel));
  std::printf("\n");
  return RUN_ALL_TESTS();
}
