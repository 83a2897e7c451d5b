// Facts about the machine and this build, for the report.
#pragma once

#include <cstdint>
#include <string>

namespace bitsr {

std::string machine_name();    // x86_64, aarch64
std::string processor_name();  // as the system calls it; empty where it does not
int32_t core_count();
int64_t peak_resident_bytes();  // 0 where the system does not say
std::string compiler_name();

}  // namespace bitsr
