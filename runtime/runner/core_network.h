// An artifact whose whole network is one program of the core: it needs no framework.
#pragma once

#include "network.h"

namespace bitsr {

// `*network` is null, and the outcome fine, where the network needs its framework, because of what `foreign` then
// names.
Outcome open_core(const Bytes& content, Format format, const NetworkOptions& options, std::unique_ptr<Network>* network,
                  std::string* foreign);

// Whether open_core() would give a network. Failure: as there.
Outcome runs_in_core(const Bytes& content, Format format, const std::string& path, bool* runs);

}  // namespace bitsr
