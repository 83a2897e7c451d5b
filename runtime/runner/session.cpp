#include "bitsr/session.h"

#include <cstring>
#include <string>
#include <vector>

#include "../artifact/tflite_metadata.h"
#include "core_network.h"
#include "files.h"
#include "metadata.h"
#include "network.h"
#include "turn.h"
#include "upscale.h"

namespace bitsr {
namespace {

constexpr int32_t kMaxThreads = 256;

const char* text_or_empty(const char* text) { return text == nullptr ? "" : text; }

Outcome check_threads(int32_t threads) {
  if (threads >= 1 && threads <= kMaxThreads) return {};
  return failed(ErrorKind::argument, "%d threads, expected 1 to %d", threads, kMaxThreads);
}

Outcome check_side(int64_t height, int64_t width) {
  if (height >= 1 && width >= 1 && height <= kMaxSide && width <= kMaxSide) return {};
  return failed(ErrorKind::argument, "a picture of %lldx%lld, expected sides of 1 to %lld",
                static_cast<long long>(width), static_cast<long long>(height), static_cast<long long>(kMaxSide));
}

}  // namespace

struct Session::Impl {
  std::unique_ptr<Network> network;
  std::string name;  // of the artifact, for errors
  std::string sidecar;
  Metadata metadata;  // scale 0: there is none
  SessionInfo info{};
  Turns turns;

  Outcome open(Bytes content, const std::string& sidecar_text, const std::string& sidecar_source,
               const SessionOptions& options);
  Outcome read_metadata(const Bytes& content, const std::string& source);
  Outcome open_network(Bytes content, Runtime runtime, const NetworkOptions& options);
  // Whether this process may use it: after fork() its threads are the parent's.
  bool has_threads() const { return info.threads == 1 || network->lives_in_children || turns.at_home(); }
  // What all calls do within their turn.
  template <typename Body>
  Outcome in_turn(Body body);
  template <typename Body>
  Outcome step(Body body);

  Outcome check_map(const float* nchw, const Shape& shape) const;
  Outcome run_map(const float* nchw, const Shape& shape, float* out, size_t out_count, Shape* made,
                  const RunHooks& hooks);
  Outcome expect_output(const Shape& got, const Shape& expected) const;
};

Outcome Session::Impl::open(Bytes content, const std::string& sidecar_text, const std::string& sidecar_source,
                            const SessionOptions& options) {
  const Isa isa = options.isa == Isa::automatic ? best_isa() : options.isa;
  if (!isa_available(isa))
    return failed(ErrorKind::unsupported, "this processor or build lacks the kernel '%s'; choose one of auto, %s",
                  isa_name(isa), isa_names().text);
  BITSR_TRY(check_threads(options.threads));
  const size_t bytes = content.size();
  if (!sniff(content.data(), bytes, &info.format))
    return failed(ErrorKind::format, "%s is neither a .pte nor a .tflite; write one with: bitsr export", name.c_str());
  const NetworkOptions chosen = {name,
                                 isa,
                                 options.threads,
                                 text_or_empty(options.delegate_library),
                                 text_or_empty(options.litert_library),
                                 text_or_empty(options.pte_library)};
  const bool pte = info.format == Format::pte;
  // Before a runtime sees it: what does not belong to its metadata is not run.
  sidecar = pte ? sidecar_text : read_tflite_metadata(content.data(), bytes);
  BITSR_TRY(read_metadata(content, pte ? sidecar_source : name));
  BITSR_TRY(open_network(std::move(content), options.runtime, chosen));
  info.bytes = static_cast<int64_t>(bytes);
  info.sidecar = sidecar.c_str();
  info.input = network->input;
  info.others = network->others.data();
  info.other_count = static_cast<int32_t>(network->others.size());
  info.max_pixels = network->max_pixels;
  info.isa = isa;
  info.threads = network->threads;
  info.runtime = network->runtime;
  info.runtime_version = network->runtime_version.c_str();
  return {};
}

Outcome Session::Impl::open_network(Bytes content, Runtime runtime, const NetworkOptions& options) {
  const bool pte = info.format == Format::pte;
  if (runtime != Runtime::framework) {
    std::string foreign;
    BITSR_TRY(open_core(content, info.format, options, &network, &foreign));
    if (network != nullptr) return {};
    if (runtime == Runtime::core)
      return failed(ErrorKind::framework,
                    "%s is not for the core alone: it has %s, which is none of our ops; leave the runtime out, so that "
                    "%s runs it",
                    name.c_str(), foreign.c_str(), pte ? "ExecuTorch" : "LiteRT");
  }
  return pte ? open_pte(std::move(content), options, &network) : open_tflite(std::move(content), options, &network);
}

// The scale comes from nowhere else (law 8), so metadata that does not belong to the file is an error.
Outcome Session::Impl::read_metadata(const Bytes& content, const std::string& source) {
  info.low = metadata.range.low;
  info.high = metadata.range.high;
  if (sidecar.empty()) return {};
  BITSR_TRY(parse_metadata(sidecar, name, source, &metadata));
  BITSR_TRY(check_together(metadata, sidecar, info.format == Format::tflite, content.data(), content.size(), name));
  info.scale = metadata.scale;
  info.in_channels = metadata.in_channels;
  info.out_channels = metadata.out_channels;
  info.min_side = metadata.min_side;
  info.multiple = metadata.multiple;
  info.receptive_field_radius = metadata.receptive_field_radius;
  info.pixels = metadata.pixels;
  info.low = metadata.range.low;
  info.high = metadata.range.high;
  return {};
}

template <typename Body>
Outcome Session::Impl::in_turn(Body body) {
  BITSR_TRY(guarded([&] { return turns.begin(); }));
  Outcome outcome;
  if (!has_threads())
    outcome =
        failed(ErrorKind::unsupported,
               "%s was opened with %d threads before the process forked, and they are not in the child; open it in "
               "the child, or with 1 thread",
               name.c_str(), info.threads);
  else
    outcome = guarded(body);
  turns.end();
  return outcome;
}

template <typename Body>
Outcome Session::Impl::step(Body body) {
  return in_turn([&]() -> Outcome {
    if (!turns.owns_steps())
      return failed(ErrorKind::argument,
                    "this thread has set no input, or another has used the session since; from several threads call "
                    "run() or upscale()");
    return body();
  });
}

Outcome Session::Impl::check_map(const float* nchw, const Shape& shape) const {
  if (nchw != nullptr) return {};
  return failed(ErrorKind::argument, "the input of %lldx%lldx%lldx%lld is at null", static_cast<long long>(shape.n),
                static_cast<long long>(shape.c), static_cast<long long>(shape.h), static_cast<long long>(shape.w));
}

Outcome Session::Impl::run_map(const float* nchw, const Shape& shape, float* out, size_t out_count, Shape* made,
                               const RunHooks& hooks) {
  turns.own_steps();
  BITSR_TRY(check_map(nchw, shape));
  return network->run(name, nchw, shape, out, out_count, made, hooks);
}

Outcome Session::Impl::expect_output(const Shape& got, const Shape& expected) const {
  if (got.n == expected.n && got.c == expected.c && got.h == expected.h && got.w == expected.w) return {};
  return failed(ErrorKind::model, "%s gives %lldx%lldx%lldx%lld, its metadata says %lldx%lldx%lldx%lld", name.c_str(),
                static_cast<long long>(got.n), static_cast<long long>(got.c), static_cast<long long>(got.h),
                static_cast<long long>(got.w), static_cast<long long>(expected.n), static_cast<long long>(expected.c),
                static_cast<long long>(expected.h), static_cast<long long>(expected.w));
}

bool parse_runtime(const char* name, Runtime* runtime) {
  constexpr struct {
    const char* name;
    Runtime runtime;
  } kRuntimes[] = {{"auto", Runtime::automatic}, {"core", Runtime::core}, {"framework", Runtime::framework}};
  for (const auto& known : kRuntimes)
    if (std::strcmp(known.name, name) == 0) {
      *runtime = known.runtime;
      return true;
    }
  return false;
}

Outcome Session::open(const char* path, const SessionOptions& options, Session** session) {
  *session = nullptr;
  return guarded([&]() -> Outcome {
    auto impl = std::make_unique<Impl>();
    impl->name = path;
    Bytes content, text;
    BITSR_TRY(read_file(path, &content));
    const std::string source = with_extension(path, ".json");
    Format format;
    if (sniff(content.data(), content.size(), &format) && format == Format::pte && file_exists(source))
      BITSR_TRY(read_file(source, &text));
    BITSR_TRY(impl->open(std::move(content), std::string(text.begin(), text.end()), source, options));
    *session = new Session(impl.get());
    impl.release();
    return {};
  });
}

Outcome Session::open_memory(const void* content, size_t size, const char* metadata, const SessionOptions& options,
                             Session** session) {
  *session = nullptr;
  return guarded([&]() -> Outcome {
    if (content == nullptr) return failed(ErrorKind::argument, "the artifact of %zu bytes is at null", size);
    auto impl = std::make_unique<Impl>();
    impl->name = options.name == nullptr ? "the artifact in memory" : options.name;
    const auto* bytes = static_cast<const uint8_t*>(content);
    BITSR_TRY(impl->open(Bytes(bytes, bytes + size), text_or_empty(metadata), "the text beside it", options));
    *session = new Session(impl.get());
    impl.release();
    return {};
  });
}

Session::~Session() { delete impl_; }

void Session::destroy(Session* session) {
  // In a forked child the end of the network would wait for threads that are the parent's.
  if (session != nullptr && !session->impl_->has_threads()) (void)session->impl_->network.release();
  delete session;
}

const SessionInfo& Session::info() const { return impl_->info; }

Outcome Session::output_for(const Shape& map, Shape* shape) const {
  return impl_->in_turn([&] { return impl_->network->output_for(impl_->name, map, shape); });
}

Outcome Session::run(const float* nchw, const Shape& shape, const OtherValues* others, int32_t other_count, float* out,
                     size_t out_count, Shape* out_shape, const RunHooks& hooks) {
  *out_shape = {};
  return impl_->in_turn([&]() -> Outcome {
    Network& network = *impl_->network;
    if (other_count != impl_->info.other_count)
      return failed(ErrorKind::argument, "%s takes %d inputs, got %d", impl_->name.c_str(), 1 + impl_->info.other_count,
                    1 + other_count);
    for (int32_t i = 0; i < other_count; ++i)
      BITSR_TRY(network.set_other(impl_->name, i, others[i].type, others[i].values, others[i].count));
    return impl_->run_map(nchw, shape, out, out_count, out_shape, hooks);
  });
}

Outcome Session::upscale(const Pixels& picture, const OutputPixels& output, const UpscaleOptions& options) {
  // The progress of the picture, which is also asked for within a tile.
  struct Tiles final : TileNetwork {
    Impl* impl;
    RunHooks hooks;
    Outcome run(const std::vector<float>& map, int64_t height, int64_t width, std::vector<float>* result) override {
      const int64_t scale = impl->metadata.scale;
      const Shape expected = {1, 3, height * scale, width * scale};
      Shape made{};
      result->resize(static_cast<size_t>(value_count(expected)));
      const Outcome done =
          impl->run_map(map.data(), {1, 3, height, width}, result->data(), result->size(), &made, hooks);
      if (made.n > 0) BITSR_TRY(impl->expect_output(made, expected));
      return done;
    }
  };
  struct Asked {
    const UpscaleOptions* options;
    int64_t done, total;
  };
  return impl_->in_turn([&]() -> Outcome {
    if (impl_->metadata.scale == 0)
      return failed(ErrorKind::argument, "the scale of %s is not known; keep its sidecar beside it",
                    impl_->name.c_str());
    Asked asked = {&options, 0, picture.width * picture.height};
    Tiles tiles;
    tiles.impl = impl_;
    UpscaleOptions own = options;
    if (options.progress != nullptr) {
      tiles.hooks.context = &asked;
      tiles.hooks.proceed = [](void* context) {
        const auto* a = static_cast<const Asked*>(context);
        return a->options->progress(a->options->context, a->done, a->total);
      };
      own.context = &asked;
      own.progress = [](void* context, int64_t done, int64_t total) {
        auto* a = static_cast<Asked*>(context);
        a->done = done;
        return a->options->progress(a->options->context, done, total);
      };
      if (options.rows != nullptr)
        own.rows = [](void* context, int64_t top, int64_t count, const uint8_t* pixels, int64_t stride) {
          const auto* a = static_cast<const Asked*>(context);
          return a->options->rows(a->options->context, top, count, pixels, stride);
        };
    }
    return bitsr::upscale(impl_->metadata, impl_->name, picture, output, own, &tiles);
  });
}

Outcome Session::set_input(const float* nchw, const Shape& shape) {
  return impl_->in_turn([&]() -> Outcome {
    impl_->turns.own_steps();
    BITSR_TRY(impl_->check_map(nchw, shape));
    return impl_->network->set_input(nchw, shape);
  });
}

Outcome Session::set_other(int32_t number, ElementType type, const void* values, int64_t count) {
  return impl_->in_turn([&] {
    impl_->turns.own_steps();
    return impl_->network->set_other(impl_->name, number, type, values, count);
  });
}

Outcome Session::execute(const RunHooks& hooks, RunTime* time) {
  return impl_->step([&] { return impl_->network->execute(hooks, time); });
}

Shape Session::output_shape() const { return impl_->network->output; }

Outcome Session::get_output(float* nchw, size_t count) const {
  return impl_->step([&]() -> Outcome {
    const auto needed = static_cast<size_t>(value_count(impl_->network->output));
    if (needed == 0) return failed(ErrorKind::argument, "there is no output: the network has not run");
    if (count != needed)
      return failed(ErrorKind::argument, "the output has %zu values, got memory for %zu", needed, count);
    return impl_->network->get_output(nchw);
  });
}

Outcome Session::picture_size(int64_t height, int64_t width, int64_t* out_height, int64_t* out_width) const {
  if (impl_->info.scale == 0)
    return failed(ErrorKind::argument, "the scale of %s is not known; keep its sidecar beside it", impl_->name.c_str());
  BITSR_TRY(check_side(height, width));
  *out_height = height * impl_->info.scale;
  *out_width = width * impl_->info.scale;
  return {};
}

Outcome Session::run_picture(const uint8_t* rgb, int64_t height, int64_t width, uint8_t* out, size_t out_bytes,
                             const RunHooks& hooks) {
  int64_t out_height = 0, out_width = 0;
  BITSR_TRY(picture_size(height, width, &out_height, &out_width));
  return impl_->in_turn([&]() -> Outcome {
    const int64_t pixels = height * width, count = out_height * out_width;
    if (rgb == nullptr || out == nullptr || out_bytes != static_cast<size_t>(3 * count))
      return failed(ErrorKind::argument, "the output has %lld bytes, got memory for %zu%s",
                    static_cast<long long>(3 * count), out_bytes,
                    rgb == nullptr || out == nullptr ? ", and a null pointer" : "");
    std::vector<float> maps(static_cast<size_t>(3 * pixels));
    from_pixels(rgb, pixels, impl_->metadata.range, maps.data());
    const Shape expected = {1, 3, out_height, out_width};
    std::vector<float> result(static_cast<size_t>(3 * count));
    Shape made{};
    const Outcome done = impl_->run_map(maps.data(), {1, 3, height, width}, result.data(), result.size(), &made, hooks);
    if (made.n > 0) BITSR_TRY(impl_->expect_output(made, expected));
    BITSR_TRY(done);
    to_pixels(result.data(), count, impl_->metadata.range, out);
    return {};
  });
}

Outcome set_process_threads(int32_t threads, const char* pte_library) {
  BITSR_TRY(check_threads(threads));
  return guarded([&] { return set_executorch_threads(threads, text_or_empty(pte_library)); });
}

}  // namespace bitsr
