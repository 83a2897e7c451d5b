// Whole files: read, told apart, and written under a temporary name that is then renamed (law 9).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "outcome.h"

namespace bitsr {

using Bytes = std::vector<uint8_t>;

Outcome read_file(const std::string& path, Bytes* content);
Outcome write_file(const std::string& path, const void* data, size_t size);
bool file_exists(const std::string& path);

// By the identifiers that both formats carry at byte 4. False: neither.
bool sniff(const uint8_t* data, size_t size, Format* format);

// The part after the last dot of the name, lower case; empty where there is none.
std::string extension(const std::string& path);
// The path with another extension (with its dot).
std::string with_extension(const std::string& path, const char* extension);

}  // namespace bitsr
