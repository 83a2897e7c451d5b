// Facts about the machine and this build, for the report.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bitsr {

std::string machine_name();    // x86_64, aarch64
std::string processor_name();  // as the system calls it; empty where it does not
// Of avx2, avx512, neon: what the kernels use and this processor has.
std::vector<std::string> instruction_sets();
int32_t core_count();
int64_t peak_resident_bytes();  // 0 where the system does not say
std::string compiler_name();

}  // namespace bitsr
