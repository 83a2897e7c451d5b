// What the metadata of an artifact (its sidecar, or the text in a .tflite) says to those who run it. It is not trusted.
#pragma once

#include <cstdint>
#include <string>

#include "outcome.h"
#include "pixels.h"

namespace bitsr {

// Pixels are those of the low-resolution picture.
struct Metadata {
  int32_t scale = 0;
  int64_t artifact_bytes = 0;
  std::string artifact_sha256, metadata_sha256;  // hexadecimal; the second is empty where the text has none
  int32_t in_channels = 0, out_channels = 0;
  int64_t min_side = 1, multiple = 1, max_pixels = 1;
  int64_t receptive_field_radius = 0;
  ValueRange range;        // of the network
  bool pixels = false;     // its input and output are uint8
  bool diffusion = false;  // a step of a sampling, no network from picture to picture
};

// `name` and `source` (of the text) stand in errors.
Outcome parse_metadata(const std::string& text, const std::string& name, const std::string& source, Metadata* metadata);

// That the artifact and the text are those that were written together: sizes, and the digests of both. The text of a
// .tflite lies in the artifact (`embedded`), so one digest serves both.
Outcome check_together(const Metadata& metadata, const std::string& text, bool embedded, const void* content,
                       size_t size, const std::string& name);

}  // namespace bitsr
