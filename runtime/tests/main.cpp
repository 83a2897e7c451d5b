#include <gtest/gtest.h>

#include <cstdio>

#include "net.h"
#include "random.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::printf("BITSR_TEST_SEED=%llu\n", static_cast<unsigned long long>(bitsr_test::run_seed()));
  std::printf("kernels:");
  for (const bitsr::Isa isa : bitsr::available_isas()) std::printf(" %s", bitsr::isa_name(isa));
  std::printf("\n");
  return RUN_ALL_TESTS();
}
