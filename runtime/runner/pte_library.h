// The border between the runner and libbitsr_pte.so, which has ExecuTorch and is opened when a .pte is: neither the
// runner nor libbitsr.so is linked with ExecuTorch, so both serve a .tflite where it is not installed.
#pragma once

#include <memory>

#include "network.h"

namespace bitsr {

struct PteLibrary {
  const char* version;  // of bitsr: the border has C++ on both sides, so that both must be of one build
  Outcome (*open)(Bytes content, const NetworkOptions& options, std::unique_ptr<Network>* network);
  Outcome (*set_threads)(int32_t threads);
};

}  // namespace bitsr

extern "C" const bitsr::PteLibrary* bitsr_pte_library();
