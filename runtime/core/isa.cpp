// The one table of instruction sets.
#include "bitsr/isa.h"

#include <cstdio>
#include <cstring>

#include "row_kernels.h"

namespace bitsr {

// Those of another architecture are not built.
#if !defined(__x86_64__)
const RowKernels* avx512_kernels() { return nullptr; }
const RowKernels* avx2_kernels() { return nullptr; }
#endif
#if !defined(__aarch64__)
const RowKernels* dotprod_kernels() { return nullptr; }
const RowKernels* neon_kernels() { return nullptr; }
#endif
#if !defined(__wasm_simd128__)
const RowKernels* wasm_kernels() { return nullptr; }
#endif

namespace {

struct IsaEntry {
  Isa isa;
  const char* name;
  const RowKernels* (*kernels)();  // null where this processor lacks the instructions
};

// The fastest first.
constexpr IsaEntry kIsas[] = {
    {Isa::avx512, "avx512", avx512_kernels},    {Isa::avx2, "avx2", avx2_kernels},
    {Isa::dotprod, "dotprod", dotprod_kernels}, {Isa::neon, "neon", neon_kernels},
    {Isa::wasm, "wasm", wasm_kernels},          {Isa::portable, "portable", portable_kernels}};
constexpr char kAutomatic[] = "auto";

static_assert(sizeof(kIsas) / sizeof(kIsas[0]) == IsaList::kMost, "a list has room for all");

}  // namespace

const RowKernels* find_kernels(Isa isa) {
  for (const IsaEntry& entry : kIsas)
    if (entry.isa == isa) return entry.kernels();
  return nullptr;
}

const char* isa_name(Isa isa) {
  for (const IsaEntry& entry : kIsas)
    if (entry.isa == isa) return entry.name;
  return isa == Isa::automatic ? kAutomatic : "unknown";
}

bool parse_isa(const char* name, Isa* isa) {
  if (!name) return false;
  for (const IsaEntry& entry : kIsas)
    if (strcmp(entry.name, name) == 0) {
      *isa = entry.isa;
      return true;
    }
  if (strcmp(kAutomatic, name) != 0) return false;
  *isa = Isa::automatic;
  return true;
}

bool isa_available(Isa isa) { return isa == Isa::automatic || find_kernels(isa) != nullptr; }

IsaList available_isas() {
  IsaList list;
  for (const IsaEntry& entry : kIsas)
    if (entry.kernels()) list.items[list.count++] = entry.isa;
  return list;
}

Isa best_isa() { return available_isas().items[0]; }

IsaNames isa_names(const char* separator) {
  IsaNames names;
  size_t used = 0;
  for (const Isa isa : available_isas())
    used += static_cast<size_t>(
        snprintf(names.text + used, sizeof(names.text) - used, "%s%s", used ? separator : "", isa_name(isa)));
  return names;
}

}  // namespace bitsr
