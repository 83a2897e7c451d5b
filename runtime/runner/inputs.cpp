#include "inputs.h"

#include <vector>

#include "network.h"
#include "photo_pattern.h"
#include "pictures.h"

namespace bitsr {
namespace {

constexpr int64_t kPatternSide = 128;

struct Input {
  Shape shape{};
  std::vector<float> values;
};

void fill_pattern(const Shape& shape, Input* input) {
  input->shape = shape;
  input->values.resize(static_cast<size_t>(shape.n * shape.c * shape.h * shape.w));
  float* to = input->values.data();
  for (int64_t plane = 0; plane < shape.n * shape.c; ++plane)
    for (int64_t y = 0; y < shape.h; ++y)
      for (int64_t x = 0; x < shape.w; ++x) *to++ = photo_pattern(plane, y, x);
}

Outcome read_map(const Arguments& a, const SessionInfo& info, Input* input) {
  if (a.inputs.empty()) {
    const auto side = [](int64_t own) { return own > 0 ? own : kPatternSide; };
    fill_pattern(a.shape.n > 0 ? a.shape : Shape{1, info.input.c, side(info.input.h), side(info.input.w)}, input);
    return {};
  }
  const std::string& path = a.inputs.front();
  if (extension(path) == "f32") {
    input->shape = a.shape;
    return read_floats(path, a.shape, &input->values);
  }
  Bytes content;
  Picture picture;
  BITSR_TRY(read_file(path, &content));
  BITSR_TRY(parse_ppm(content.data(), content.size(), path, &picture));
  const int64_t pixels = picture.width * picture.height;
  input->shape = {1, 3, picture.height, picture.width};
  input->values.resize(picture.rgb.size());
  from_pixels(picture.rgb.data(), pixels, {info.low, info.high}, input->values.data());
  return {};
}

// The type is the model's; the file's extension says that its writer meant the same.
Outcome read_other(const std::string& path, const OtherInput& other, const std::string& model, Bytes* values) {
  const char* expected = other.type == ElementType::float32 ? "f32" : "i64";
  if (extension(path) != expected)
    return failed(ErrorKind::argument, "%s takes %s there, got %s; give it a raw .%s", model.c_str(),
                  type_name(other.type), path.c_str(), expected);
  BITSR_TRY(read_file(path, values));
  if (values->size() != byte_count(other))
    return failed(ErrorKind::format, "%s has %zu bytes, expected %zu: %lld values of %s", path.c_str(), values->size(),
                  byte_count(other), static_cast<long long>(other.count), type_name(other.type));
  return {};
}

}  // namespace

Outcome give_inputs(const Arguments& a, Session* session, const std::string& model, Shape* shape) {
  const SessionInfo& info = session->info();
  const auto expected = 1 + static_cast<size_t>(info.other_count);
  if (!a.inputs.empty() && a.inputs.size() != expected)
    return failed(ErrorKind::argument, "%s takes %zu input%s, got %zu; give a file for each by --input, the map first",
                  model.c_str(), expected, expected == 1 ? "" : "s", a.inputs.size());
  Input input;
  BITSR_TRY(read_map(a, info, &input));
  *shape = input.shape;
  BITSR_TRY(session->set_input(input.values.data(), input.shape));
  for (int32_t i = 0; i < info.other_count; ++i) {
    const OtherInput& other = info.others[i];
    Bytes values(byte_count(other));  // zeros beside a pattern
    if (!a.inputs.empty()) BITSR_TRY(read_other(a.inputs[static_cast<size_t>(i) + 1], other, model, &values));
    BITSR_TRY(session->set_other(i, other.type, values.data(), other.count));
  }
  return {};
}

}  // namespace bitsr
