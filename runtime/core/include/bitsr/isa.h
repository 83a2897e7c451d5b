// The instruction sets that the core has kernels for. Users call one a "kernel": the option and variable of that name.
#pragma once

namespace bitsr {

enum class Isa { automatic, avx512, avx2, dotprod, neon, wasm, portable };

// As users write it: "auto", "avx2", ...
const char* isa_name(Isa isa);
// False, and `isa` untouched, when `name` is the name of none.
bool parse_isa(const char* name, Isa* isa);
// Whether this build has its kernels and this processor its instructions.
bool isa_available(Isa isa);
// The fastest one that is available; portable always is.
Isa best_isa();

// The available ones, the fastest first, so that portable is the last.
struct IsaList {
  static constexpr int kMost = 6;
  Isa items[kMost];
  int count = 0;
  const Isa* begin() const { return items; }
  const Isa* end() const { return items + count; }
};
IsaList available_isas();

// The names of available_isas(), for messages and usage texts.
struct IsaNames {
  char text[64] = {};
};
IsaNames isa_names(const char* separator = ", ");

}  // namespace bitsr
