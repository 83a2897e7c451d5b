#include "machine.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <initializer_list>

namespace bitsr {
namespace {

// What stands behind the colon in the first line of a file that begins with one of the words; empty where none does.
std::string line_of(const char* path, std::initializer_list<const char*> words) {
  std::FILE* file = std::fopen(path, "re");
  if (file == nullptr) return "";
  std::string found;
  char line[512];
  while (found.empty() && std::fgets(line, sizeof(line), file) != nullptr) {
    const std::string text = line;
    for (const char* word : words)
      if (const size_t colon = text.find(':'); text.rfind(word, 0) == 0 && colon != std::string::npos)
        found = text.substr(colon + 1);
  }
  std::fclose(file);
  const size_t first = found.find_first_not_of(" \t\n"), last = found.find_last_not_of(" \t\n");
  return first == std::string::npos ? "" : found.substr(first, last + 1 - first);
}

}  // namespace

std::string machine_name() {
  utsname facts;
  return uname(&facts) == 0 ? facts.machine : "";
}

std::string processor_name() { return line_of("/proc/cpuinfo", {"model name", "Hardware"}); }

int32_t core_count() { return static_cast<int32_t>(sysconf(_SC_NPROCESSORS_ONLN)); }

// getrusage() would count what the process was before it became this program.
int64_t peak_resident_bytes() {
  return std::strtoll(line_of("/proc/self/status", {"VmHWM:"}).c_str(), nullptr, 10) * 1024;
}

std::string compiler_name() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

}  // namespace bitsr
