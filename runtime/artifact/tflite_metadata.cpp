#include "tflite_metadata.h"

#include <string_view>

#include "flatbuffer.h"
#include "tflite_schema.h"

namespace bitsr {
namespace {

constexpr std::string_view kName = "bitsr";  // bitsr/artifact/tflite.py

}  // namespace

std::string read_tflite_metadata(const uint8_t* data, size_t size) {
  using namespace tflite::schema;
  const FlatBuffer file(data, size);
  FlatBuffer::Vector entries, buffers;
  if (!file.vector(file.root(), kModelMetadata, 4, &entries) || !file.vector(file.root(), kModelBuffers, 4, &buffers))
    return "";
  for (size_t i = 0; i < entries.count; ++i) {
    const size_t entry = file.table_of(entries, i);
    std::string_view text;
    uint32_t buffer = 0;
    if (!file.text(entry, kMetadataName, &text) || text != kName) continue;
    if (!file.number(entry, kMetadataBuffer, &buffer) || !file.text(file.table_of(buffers, buffer), kBufferData, &text))
      return "";
    return std::string(text);
  }
  return "";
}

}  // namespace bitsr
