#include "network.h"

namespace bitsr {

Outcome Network::run(const std::string&, const float* nchw, const Shape& shape, float* out, size_t out_count,
                     Shape* made, const RunHooks& hooks) {
  RunTime time;
  BITSR_TRY(set_input(nchw, shape));
  BITSR_TRY(execute(hooks, &time));
  *made = output;
  const auto needed = static_cast<size_t>(value_count(output));
  if (out == nullptr || out_count != needed)
    return failed(ErrorKind::argument, "the output has %zu values (%lldx%lldx%lldx%lld), got memory for %zu", needed,
                  static_cast<long long>(output.n), static_cast<long long>(output.c), static_cast<long long>(output.h),
                  static_cast<long long>(output.w), out == nullptr ? 0 : out_count);
  return get_output(out);
}

Outcome Network::output_for(const std::string& path, const Shape&, Shape*) const {
  return failed(ErrorKind::unsupported, "%s runs in %s, which says the size of its output after a run alone",
                path.c_str(), runtime);
}

Outcome Network::set_other(const std::string& path, int32_t number, ElementType type, const void* values,
                           int64_t count) {
  const auto place = static_cast<size_t>(number);
  if (number < 0 || place >= others.size())
    return failed(ErrorKind::argument, "%s has %zu inputs beside the map, got one of number %d", path.c_str(),
                  others.size(), number);
  const OtherInput& other = others[place];
  if (type != other.type || count != other.count || values == nullptr)
    return failed(ErrorKind::argument, "input %d of %s takes %lld values of %s, got %lld of %s%s", number + 1,
                  path.c_str(), static_cast<long long>(other.count), type_name(other.type),
                  static_cast<long long>(count), type_name(type), values == nullptr ? " at null" : "");
  const auto* bytes = static_cast<const uint8_t*>(values);
  other_values.resize(others.size());
  other_values[place].assign(bytes, bytes + byte_count(other));
  return {};
}

Outcome Network::check_map(const std::string& path, const Shape& shape) const {
  const bool fits = shape.n == input.n && shape.c == input.c && (input.h == 0 || input.h == shape.h) &&
                    (input.w == 0 || input.w == shape.w) && shape.h > 0 && shape.w > 0 && shape.h <= kMaxSide &&
                    shape.w <= kMaxSide;
  if (!fits)
    return failed(ErrorKind::argument, "%s takes %lldx%lldx%lldx%lld (0: any), got %lldx%lldx%lldx%lld", path.c_str(),
                  static_cast<long long>(input.n), static_cast<long long>(input.c), static_cast<long long>(input.h),
                  static_cast<long long>(input.w), static_cast<long long>(shape.n), static_cast<long long>(shape.c),
                  static_cast<long long>(shape.h), static_cast<long long>(shape.w));
  return {};
}

Outcome Network::check_others(const std::string& path) const {
  for (size_t i = 0; i < others.size(); ++i)
    if (i >= other_values.size() || other_values[i].empty())
      return failed(ErrorKind::argument, "%s takes %zu inputs, and number %zu has no values yet", path.c_str(),
                    1 + others.size(), i + 1);
  return {};
}

}  // namespace bitsr
