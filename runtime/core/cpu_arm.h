// What an arm64 processor can do beyond what all of them can.
#pragma once

namespace bitsr {

struct ArmFeatures {
  bool dot_product = false;     // FEAT_DotProd: SDOT and UDOT, in most processors since 2018
  bool matrix_product = false;  // FEAT_I8MM: SMMLA, in most since 2021
};

ArmFeatures arm_features();

}  // namespace bitsr
