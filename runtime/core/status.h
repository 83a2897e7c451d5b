// Making a Status with a formatted message.
#pragma once

#include "bitsr/program.h"

namespace bitsr {

__attribute__((format(printf, 2, 3))) Status failure(StatusCode code, const char* format, ...);

}  // namespace bitsr
