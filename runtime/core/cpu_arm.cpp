// Asked of the operating system, as programs may not ask the processor itself.
#include "cpu_arm.h"

#include <sys/auxv.h>

namespace bitsr {
namespace {

constexpr unsigned long kAsimdDp = 1ul << 20;  // of AT_HWCAP

}  // namespace

ArmFeatures arm_features() {
  ArmFeatures features;
  features.dot_product = (getauxval(AT_HWCAP) & kAsimdDp) != 0;
  return features;
}

}  // namespace bitsr
