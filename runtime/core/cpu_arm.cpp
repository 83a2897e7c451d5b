// Asked of the operating system, as programs may not ask the processor itself.
#include "cpu_arm.h"

#include <sys/auxv.h>

namespace bitsr {
namespace {

constexpr unsigned long kAsimdDp = 1ul << 20;  // of AT_HWCAP
constexpr unsigned long kI8mm = 1ul << 13;     // of AT_HWCAP2

}  // namespace

ArmFeatures arm_features() {
  ArmFeatures features;
  features.dot_product = (getauxval(AT_HWCAP) & kAsimdDp) != 0;
  features.matrix_product = (getauxval(AT_HWCAP2) & kI8mm) != 0;
  return features;
}

}  // namespace bitsr
