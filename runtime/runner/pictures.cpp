#include "pictures.h"

#include <cstdlib>
#include <cstring>

namespace bitsr {
namespace {

constexpr int64_t kMaxValues = int64_t{1} << 40;

bool is_space(uint8_t letter) { return letter == ' ' || (letter >= '\t' && letter <= '\r'); }

// The header's next number, behind white space and comments.
bool next_number(const uint8_t* data, size_t size, size_t* at, int64_t* number) {
  const size_t start = *at;
  while (*at < size && (is_space(data[*at]) || data[*at] == '#')) {
    if (data[*at] == '#')
      while (*at < size && data[*at] != '\n') ++*at;
    else
      ++*at;
  }
  if (*at == start) return false;
  *number = 0;
  const size_t digits = *at;
  for (; *at < size && data[*at] >= '0' && data[*at] <= '9'; ++*at) {
    *number = 10 * *number + (data[*at] - '0');
    if (*number > kMaxSide) return false;
  }
  return *at > digits;
}

}  // namespace

Outcome parse_ppm(const uint8_t* data, size_t size, const std::string& name, Picture* picture) {
  size_t at = 2;
  int64_t width = 0, height = 0, largest = 0;
  if (size < 2 || std::memcmp(data, "P6", 2) != 0 || !next_number(data, size, &at, &width) ||
      !next_number(data, size, &at, &height) || !next_number(data, size, &at, &largest) || at >= size ||
      !is_space(data[at]) || width < 1 || height < 1)
    return failed(ErrorKind::format, "%s is no binary PPM (P6) with sides of 1 to %lld", name.c_str(),
                  static_cast<long long>(kMaxSide));
  if (largest != 255)
    return failed(ErrorKind::format, "%s has values up to %lld, expected 255: 8 bits", name.c_str(),
                  static_cast<long long>(largest));
  ++at;
  const auto bytes = static_cast<size_t>(3 * width * height);
  if (size - at != bytes)
    return failed(ErrorKind::format, "%s has %zu bytes of pixels, its header says %zu; the file is damaged",
                  name.c_str(), size - at, bytes);
  *picture = {width, height, Bytes(data + at, data + size)};
  return {};
}

Bytes format_ppm(const Picture& picture) {
  const std::string header = "P6\n" + std::to_string(picture.width) + " " + std::to_string(picture.height) + "\n255\n";
  Bytes content(header.begin(), header.end());
  content.insert(content.end(), picture.rgb.begin(), picture.rgb.end());
  return content;
}

bool parse_shape(const std::string& text, Shape* shape) {
  int64_t sides[4] = {}, product = 1;
  const char* at = text.c_str();
  for (int i = 0; i < 4; ++i) {
    char* end = nullptr;
    if (*at < '0' || *at > '9') return false;
    sides[i] = std::strtoll(at, &end, 10);
    if (sides[i] < 1 || sides[i] > kMaxValues || __builtin_mul_overflow(product, sides[i], &product) ||
        product > kMaxValues || *end != (i < 3 ? ',' : '\0'))
      return false;
    at = end + 1;
  }
  *shape = {sides[0], sides[1], sides[2], sides[3]};
  return true;
}

Outcome read_floats(const std::string& path, const Shape& shape, std::vector<float>* values) {
  Bytes content;
  BITSR_TRY(read_file(path, &content));
  const auto count = static_cast<size_t>(shape.n * shape.c * shape.h * shape.w);
  if (content.size() != count * sizeof(float))
    return failed(ErrorKind::format, "%s has %zu bytes, expected %zu: %lldx%lldx%lldx%lld values of float32",
                  path.c_str(), content.size(), count * sizeof(float), static_cast<long long>(shape.n),
                  static_cast<long long>(shape.c), static_cast<long long>(shape.h), static_cast<long long>(shape.w));
  values->resize(count);
  std::memcpy(values->data(), content.data(), content.size());
  return {};
}

}  // namespace bitsr
