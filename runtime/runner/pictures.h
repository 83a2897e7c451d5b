// Pictures and tensors in files. Nothing in them is trusted.
#pragma once

#include <string>
#include <vector>

#include "files.h"

namespace bitsr {

struct Picture {
  int64_t width = 0, height = 0;
  Bytes rgb;  // rows dense
};

// A binary PPM (P6) of 8 bits. `name` stands in errors.
Outcome parse_ppm(const uint8_t* data, size_t size, const std::string& name, Picture* picture);
Bytes format_ppm(const Picture& picture);

// "N,C,H,W" of positive numbers whose product is below 2^40.
bool parse_shape(const std::string& text, Shape* shape);
// Raw little-endian float32 of just that many values.
Outcome read_floats(const std::string& path, const Shape& shape, std::vector<float>* values);

}  // namespace bitsr
