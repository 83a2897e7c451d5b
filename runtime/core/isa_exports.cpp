// The table of instruction sets for other languages: compiled into every shared library of bitsr.
#include "bitsr/isa.h"

#define BITSR_EXPORT extern "C" __attribute__((visibility("default")))

// Names of the instruction sets that this build has and this processor can run, separated by commas, the fastest first.
BITSR_EXPORT const char* bitsr_isa_names() {
  static const bitsr::IsaNames names = bitsr::isa_names(",");
  return names.text;
}

// The one that runs where none is asked for: the first of them.
BITSR_EXPORT const char* bitsr_best_isa() { return bitsr::isa_name(bitsr::best_isa()); }
