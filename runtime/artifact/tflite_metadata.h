// The text that the export writes into a .tflite, found without a runtime. The file is not trusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace bitsr {

// Empty where there is none, or the file's tables are damaged on the way to it.
std::string read_tflite_metadata(const uint8_t* data, size_t size);

}  // namespace bitsr
