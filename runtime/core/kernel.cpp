// Choosing among the kernels at run time.
#include <cstring>

#include "bitsr/program.h"
#include "dispatch.h"

namespace bitsr {
namespace {

struct Entry {
  Kernel kernel;
  const char* name;
};
constexpr Entry kEntries[] = {{Kernel::automatic, "auto"},
                              {Kernel::portable, "portable"},
                              {Kernel::avx2, "avx2"},
                              {Kernel::avx512, "avx512"},
                              {Kernel::neon, "neon"}};

}  // namespace

const RowKernels* find_kernels(Kernel kernel) {
  switch (kernel) {
    case Kernel::automatic:
      return find_kernels(best_kernel());
    case Kernel::portable:
      return portable_kernels();
#if defined(__x86_64__)
    case Kernel::avx2:
      return avx2_kernels();
    case Kernel::avx512:
      return avx512_kernels();
#elif defined(__aarch64__)
    case Kernel::neon:
      return neon_kernels();
#endif
    default:
      return nullptr;
  }
}

Kernel best_kernel() {
  constexpr Kernel kFastestFirst[] = {Kernel::avx512, Kernel::avx2, Kernel::neon};
  for (const Kernel kernel : kFastestFirst)
    if (find_kernels(kernel)) return kernel;
  return Kernel::portable;
}

const char* kernel_name(Kernel kernel) {
  for (const Entry& entry : kEntries)
    if (entry.kernel == kernel) return entry.name;
  return "unknown";
}

bool parse_kernel(const char* name, Kernel* kernel) {
  for (const Entry& entry : kEntries)
    if (name && strcmp(entry.name, name) == 0) {
      *kernel = entry.kernel;
      return true;
    }
  return false;
}

bool kernel_available(Kernel kernel) { return find_kernels(kernel) != nullptr; }

}  // namespace bitsr
