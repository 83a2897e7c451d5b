#pragma once

#include "bitsr/program.h"
#include "row_kernels.h"

namespace bitsr {

// The fastest kernel of this build on this processor.
Kernel best_kernel();
// Null where this build or this processor lacks it.
const RowKernels* find_kernels(Kernel kernel);

}  // namespace bitsr
