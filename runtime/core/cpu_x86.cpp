// Asked of the processor itself: __builtin_cpu_supports() asks the compiler's runtime, and zig's knows nothing.
#include "cpu_x86.h"

#include <cpuid.h>

#include <cstdint>

namespace bitsr {
namespace {

constexpr uint32_t bit(int number) { return uint32_t{1} << number; }
// Leaf 1, register C.
constexpr uint32_t kFma = bit(12), kOsXsave = bit(27), kAvx = bit(28);
// Leaf 7, registers B and C.
constexpr uint32_t kAvx2 = bit(5), kAvx512 = bit(16) | bit(30) | bit(31), kVnni = bit(11), kVpopcntdq = bit(14);
// Registers that the operating system keeps over a change of threads: YMM, and those of AVX-512.
constexpr uint32_t kYmm = 0x06, kZmm = 0xe6;

constexpr bool has(uint32_t word, uint32_t bits) { return (word & bits) == bits; }

uint32_t kept_registers() {
  uint32_t low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

}  // namespace

X86Features x86_features() {
  uint32_t a = 0, b = 0, c = 0, d = 0;
  X86Features features;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || !has(c, kOsXsave | kAvx)) return features;
  const uint32_t kept = kept_registers(), first = c;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return features;
  features.avx2_fma = has(kept, kYmm) && has(first, kFma) && has(b, kAvx2);
  features.avx512 = features.avx2_fma && has(kept, kZmm) && has(b, kAvx512) && has(c, kVnni | kVpopcntdq);
  return features;
}

}  // namespace bitsr
