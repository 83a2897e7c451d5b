// The border between the runner and libbitsr_pte.so, which has ExecuTorch. Both are of one build.
#pragma once

#include <memory>

#include "network.h"

namespace bitsr {

// Name of the function below in the library.
constexpr char kOpenPte[] = "bitsr_open_pte";
using OpenPte = Outcome (*)(Bytes content, const NetworkOptions& options, std::unique_ptr<Network>* network);

}  // namespace bitsr
