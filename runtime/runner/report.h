// The JSON of bitsr-run; README.md says what its keys mean.
#pragma once

#include <string>
#include <vector>

#include "measure.h"
#include "replay.h"

namespace bitsr {

std::string report_models(const std::vector<Measured>& measured);
std::string report_replay(const std::vector<ReplayResult>& results, Isa isa, int32_t threads);

}  // namespace bitsr
