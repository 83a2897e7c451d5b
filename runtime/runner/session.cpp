#include "bitsr/session.h"

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "files.h"
#include "json.h"
#include "network.h"

namespace bitsr {
namespace {

constexpr int32_t kMaxThreads = 256;
constexpr int64_t kMaxScale = 16;

const char* text_or_empty(const char* text) { return text == nullptr ? "" : text; }

}  // namespace

void from_pixels(const uint8_t* rgb, int64_t pixels, float* maps) {
  for (int64_t c = 0; c < 3; ++c)
    for (int64_t p = 0; p < pixels; ++p) maps[c * pixels + p] = static_cast<float>(rgb[3 * p + c]) / 255.0f;
}

void to_pixels(const float* maps, int64_t pixels, uint8_t* rgb) {
  for (int64_t c = 0; c < 3; ++c)
    for (int64_t p = 0; p < pixels; ++p) {
      const float value = maps[c * pixels + p];
      // NaN becomes 0.
      const float bounded = value > 0.0f ? (value < 1.0f ? value : 1.0f) : 0.0f;
      rgb[3 * p + c] = static_cast<uint8_t>(std::floor(bounded * 255.0f + 0.5f));
    }
}

void change_layout(const float* from, const Shape& shape, bool from_nchw, float* to) {
  const int64_t pixels = shape.h * shape.w;
  for (int64_t n = 0; n < shape.n; ++n, from += shape.c * pixels, to += shape.c * pixels)
    for (int64_t c = 0; c < shape.c; ++c)
      for (int64_t p = 0; p < pixels; ++p) {
        const int64_t nchw = c * pixels + p, nhwc = p * shape.c + c;
        if (from_nchw)
          to[nhwc] = from[nchw];
        else
          to[nchw] = from[nhwc];
      }
}

Outcome Network::set_other(const std::string& path, int32_t number, ElementType type, const void* values,
                           int64_t count) {
  const auto place = static_cast<size_t>(number);
  if (number < 0 || place >= others.size())
    return failed(ErrorKind::argument, "%s has %zu inputs beside the map, got one of number %d", path.c_str(),
                  others.size(), number);
  const OtherInput& other = others[place];
  if (type != other.type || count != other.count)
    return failed(ErrorKind::argument, "input %d of %s takes %lld values of %s, got %lld of %s", number + 1,
                  path.c_str(), static_cast<long long>(other.count), type_name(other.type),
                  static_cast<long long>(count), type_name(type));
  const auto* bytes = static_cast<const uint8_t*>(values);
  other_values.resize(others.size());
  other_values[place].assign(bytes, bytes + byte_count(other));
  return {};
}

Outcome Network::check_others(const std::string& path) const {
  for (size_t i = 0; i < others.size(); ++i)
    if (i >= other_values.size() || other_values[i].empty())
      return failed(ErrorKind::argument, "%s takes %zu inputs, and number %zu has no values yet", path.c_str(),
                    1 + others.size(), i + 1);
  return {};
}

struct Session::Impl {
  std::unique_ptr<Network> network;
  std::string path, sidecar;
  SessionInfo info{};

  Outcome open(const char* path, const SessionOptions& options);
  Outcome read_sidecar(size_t bytes);
};

Outcome Session::Impl::open(const char* name, const SessionOptions& options) {
  path = name;
  const Isa isa = options.isa == Isa::automatic ? best_isa() : options.isa;
  if (!isa_available(isa))
    return failed(ErrorKind::unsupported, "this processor or build lacks the kernel '%s'; choose one of auto, %s",
                  isa_name(isa), isa_names().text);
  if (options.threads < 1 || options.threads > kMaxThreads)
    return failed(ErrorKind::argument, "%d threads, expected 1 to %d", options.threads, kMaxThreads);
  Bytes content;
  BITSR_TRY(read_file(path, &content));
  const size_t bytes = content.size();
  if (!sniff(content.data(), bytes, &info.format))
    return failed(ErrorKind::format, "%s is neither a .pte nor a .tflite; write one with: bitsr export", name);
  const NetworkOptions chosen_options = {path, isa, options.threads, text_or_empty(options.delegate_library),
                                         text_or_empty(options.litert_library)};
  BITSR_TRY(info.format == Format::pte ? open_pte(std::move(content), chosen_options, &network)
                                       : open_tflite(std::move(content), chosen_options, &network));
  BITSR_TRY(read_sidecar(bytes));
  info.bytes = static_cast<int64_t>(bytes);
  info.sidecar = sidecar.c_str();
  info.input = network->input;
  info.others = network->others.data();
  info.other_count = static_cast<int32_t>(network->others.size());
  info.max_pixels = network->max_pixels;
  info.isa = isa;
  info.threads = options.threads;
  info.runtime = network->runtime;
  info.runtime_version = network->runtime_version;
  return {};
}

// The scale comes from nowhere else (law 8), so a sidecar that does not belong to the file is an error.
Outcome Session::Impl::read_sidecar(size_t bytes) {
  std::string source = path;
  if (info.format == Format::tflite) {
    sidecar = network->sidecar;
  } else {
    source = with_extension(path, ".json");
    if (!file_exists(source)) return {};
    Bytes text;
    BITSR_TRY(read_file(source, &text));
    sidecar.assign(text.begin(), text.end());
  }
  if (sidecar.empty()) return {};
  int64_t scale = 0, stated = 0;
  if (!is_json_object(sidecar) || !json_integer(sidecar, "scale", &scale) || scale < 1 || scale > kMaxScale ||
      !json_integer(sidecar, "artifact_bytes", &stated))
    return failed(ErrorKind::format, "the sidecar of %s (%s) is damaged; export the model again", path.c_str(),
                  source.c_str());
  if (stated != static_cast<int64_t>(bytes))
    return failed(ErrorKind::format,
                  "%s has %zu bytes, its sidecar says %lld: they do not belong together; export the model again",
                  path.c_str(), bytes, static_cast<long long>(stated));
  info.scale = static_cast<int32_t>(scale);
  return {};
}

Outcome Session::open(const char* path, const SessionOptions& options, Session** session) {
  *session = nullptr;
  return guarded([&]() -> Outcome {
    auto impl = std::make_unique<Impl>();
    BITSR_TRY(impl->open(path, options));
    *session = new Session(impl.get());
    impl.release();
    return {};
  });
}

Session::~Session() { delete impl_; }

void Session::destroy(Session* session) { delete session; }

const SessionInfo& Session::info() const { return impl_->info; }

Outcome Session::set_input(const float* nchw, const Shape& shape) {
  return guarded([&] { return impl_->network->set_input(nchw, shape); });
}

Outcome Session::set_other(int32_t number, ElementType type, const void* values, int64_t count) {
  return guarded([&] { return impl_->network->set_other(impl_->path, number, type, values, count); });
}

Outcome Session::execute(const RunHooks& hooks, RunTime* time) {
  return guarded([&] { return impl_->network->execute(hooks, time); });
}

Shape Session::output_shape() const { return impl_->network->output; }

Outcome Session::get_output(float* nchw, size_t count) const {
  const Shape& shape = impl_->network->output;
  const auto needed = static_cast<size_t>(shape.n * shape.c * shape.h * shape.w);
  if (needed == 0) return failed(ErrorKind::argument, "there is no output: the network has not run");
  if (count != needed)
    return failed(ErrorKind::argument, "the output has %zu values, got memory for %zu", needed, count);
  return guarded([&] { return impl_->network->get_output(nchw); });
}

Outcome Session::picture_size(int64_t height, int64_t width, int64_t* out_height, int64_t* out_width) const {
  if (impl_->info.scale == 0)
    return failed(ErrorKind::argument, "the scale of %s is not known; keep its sidecar beside it", impl_->path.c_str());
  *out_height = height * impl_->info.scale;
  *out_width = width * impl_->info.scale;
  return {};
}

Outcome Session::run_picture(const uint8_t* rgb, int64_t height, int64_t width, uint8_t* out, size_t out_bytes,
                             const RunHooks& hooks) {
  return guarded([&]() -> Outcome {
    if (height < 1 || width < 1 || height > kMaxSide || width > kMaxSide)
      return failed(ErrorKind::argument, "a picture of %lldx%lld", static_cast<long long>(width),
                    static_cast<long long>(height));
    int64_t out_height = 0, out_width = 0;
    BITSR_TRY(picture_size(height, width, &out_height, &out_width));
    const int64_t pixels = height * width;
    std::vector<float> in(static_cast<size_t>(3 * pixels));
    from_pixels(rgb, pixels, in.data());
    RunTime time;
    BITSR_TRY(set_input(in.data(), {1, 3, height, width}));
    BITSR_TRY(execute(hooks, &time));
    const Shape got = output_shape();
    if (got.n != 1 || got.c != 3 || got.h != out_height || got.w != out_width)
      return failed(ErrorKind::model, "%s gives %lldx%lldx%lld, its sidecar says 3x%lldx%lld", impl_->path.c_str(),
                    static_cast<long long>(got.c), static_cast<long long>(got.h), static_cast<long long>(got.w),
                    static_cast<long long>(out_height), static_cast<long long>(out_width));
    const int64_t count = out_height * out_width;
    if (out_bytes != static_cast<size_t>(3 * count))
      return failed(ErrorKind::argument, "the output has %lld bytes, got memory for %zu",
                    static_cast<long long>(3 * count), out_bytes);
    std::vector<float> result(static_cast<size_t>(3 * count));
    BITSR_TRY(get_output(result.data(), result.size()));
    to_pixels(result.data(), count, out);
    return {};
  });
}

}  // namespace bitsr
