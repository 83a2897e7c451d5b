// What an arm64 processor can do beyond what all of them can.
#pragma once

namespace bitsr {

struct ArmFeatures {
  bool dot_product = false;  // FEAT_DotProd: SDOT and UDOT, in most processors since 2018
};

ArmFeatures arm_features();

}  // namespace bitsr
