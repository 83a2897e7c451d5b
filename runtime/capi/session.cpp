#include "bitsr/session.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "calls.h"
#include "pixels.h"

namespace capi = bitsr::capi;
using bitsr::ElementType;
using bitsr::ErrorKind;
using bitsr::failed;
using bitsr::Outcome;
using bitsr::Session;
using bitsr::Shape;

struct bitsr_session {
  Session* session = nullptr;
  ~bitsr_session() { Session::destroy(session); }
};

namespace {

constexpr size_t kMostBytes = 1 << 16;  // of a structure

// A caller of an older version knows fewer members: those behind them keep their defaults.
template <typename Options>
Outcome take(const Options* given, const char* what, Options* options) {
  if (given == nullptr) return {};
  const size_t size = given->size;
  if (size < sizeof(size_t) || size > kMostBytes)
    return failed(ErrorKind::argument, "%s have the size %zu, expected %zu; start from the INIT of capi.h", what, size,
                  sizeof(Options));
  std::memcpy(options, given, std::min(size, sizeof(Options)));
  return {};
}

template <typename Open>
bitsr_status open_by(const bitsr_options* options, bitsr_session** session, Open open) {
  return capi::call([&]() -> Outcome {
    BITSR_TRY(capi::require(session, "the place of the session"));
    *session = nullptr;
    bitsr_options given = BITSR_OPTIONS_INIT;
    BITSR_TRY(take(options, "bitsr_options", &given));
    bitsr::SessionOptions chosen;
    BITSR_TRY(capi::parse_isa_name(given.isa, &chosen.isa));
    if (given.runtime != nullptr && !bitsr::parse_runtime(given.runtime, &chosen.runtime))
      return failed(ErrorKind::argument, "the runtime is '%s', expected one of %s", given.runtime,
                    bitsr::kRuntimeNames);
    chosen.threads = given.threads;
    chosen.litert_library = given.litert_library;
    chosen.delegate_library = given.delegate_library;
    chosen.pte_library = given.pte_library;
    chosen.name = given.name;
    auto handle = std::make_unique<bitsr_session>();
    BITSR_TRY(open(chosen, &handle->session));
    *session = handle.release();
    return {};
  });
}

// An input beside the map.
Outcome other_of(const bitsr_tensor& tensor, int32_t number, bitsr::OtherValues* other) {
  if (tensor.dtype != BITSR_FLOAT32 && tensor.dtype != BITSR_INT64)
    return failed(ErrorKind::argument, "input %d has dtype %d, expected %d (float32) or %d (int64)", number,
                  tensor.dtype, BITSR_FLOAT32, BITSR_INT64);
  if (tensor.rank < 1 || tensor.rank > 4)
    return failed(ErrorKind::argument, "input %d has %d dimensions, expected 1 to 4", number, tensor.rank);
  const bool floats = tensor.dtype == BITSR_FLOAT32;
  const size_t one = floats ? sizeof(float) : sizeof(int64_t);
  int64_t count = 1;
  for (int32_t i = 0; i < tensor.rank; ++i)
    if (tensor.shape[i] < 1 || __builtin_mul_overflow(count, tensor.shape[i], &count))
      return failed(ErrorKind::argument, "input %d has a side of %lld, expected positive ones", number,
                    static_cast<long long>(tensor.shape[i]));
  if (tensor.data == nullptr || tensor.bytes % one != 0 || tensor.bytes / one != static_cast<size_t>(count))
    return failed(ErrorKind::argument, "input %d takes %lld values of %zu bytes, got memory for %zu bytes%s", number,
                  static_cast<long long>(count), one, tensor.bytes, tensor.data == nullptr ? " at null" : "");
  *other = {floats ? ElementType::float32 : ElementType::int64, tensor.data, count};
  return {};
}

// Floats are NCHW; levels lie in either order.
Outcome check_form(const bitsr_tensor& tensor, const char* what) {
  const bool known = tensor.dtype == BITSR_UINT8 ? tensor.layout == BITSR_NCHW || tensor.layout == BITSR_NHWC
                                                 : tensor.dtype == BITSR_FLOAT32 && tensor.layout == BITSR_NCHW;
  if (known) return {};
  return failed(ErrorKind::argument, "%s has dtype %d in layout %d, expected %d (float32) in %d (NCHW), or %d (uint8)",
                what, tensor.dtype, tensor.layout, BITSR_FLOAT32, BITSR_NCHW, BITSR_UINT8);
}

bitsr::MapForm form_of(const bitsr_tensor& tensor, const bitsr::SessionInfo& info) {
  return {tensor.layout == BITSR_NHWC, tensor.dtype == BITSR_UINT8, {info.low, info.high}};
}

Outcome run(bitsr_session* session, const bitsr_tensor* inputs, int32_t count, bitsr_tensor* output,
            const bitsr::RunHooks& hooks) {
  BITSR_TRY(capi::require(session, "the session"));
  BITSR_TRY(capi::require(inputs, "the array of inputs"));
  BITSR_TRY(capi::require(output, "the output"));
  const int32_t expected = 1 + session->session->info().other_count;
  if (count != expected) return failed(ErrorKind::argument, "the network takes %d inputs, got %d", expected, count);
  Shape shape{}, computed{};
  BITSR_TRY(capi::check_tensor(inputs[0], "input", 0, &shape));
  if (inputs[0].rank != 4) return failed(ErrorKind::argument, "input 0 has %d dimensions, expected 4", inputs[0].rank);
  BITSR_TRY(check_form(inputs[0], "input 0"));
  BITSR_TRY(check_form(*output, "the output"));
  std::vector<bitsr::OtherValues> others(static_cast<size_t>(count - 1));
  for (int32_t i = 1; i < count; ++i) BITSR_TRY(other_of(inputs[i], i, &others[static_cast<size_t>(i - 1)]));
  const bitsr::SessionInfo& info = session->session->info();
  // Levels go through maps of floats.
  std::vector<float> given, made;
  const auto* map = static_cast<const float*>(inputs[0].data);
  if (inputs[0].dtype == BITSR_UINT8) {
    given.resize(static_cast<size_t>(bitsr::value_count(shape)));
    bitsr::take_map(inputs[0].data, shape, form_of(inputs[0], info), given.data());
    map = given.data();
  }
  const bool levels = output->dtype == BITSR_UINT8;
  const size_t one = levels ? sizeof(uint8_t) : sizeof(float), values = output->bytes / one;
  auto* result = static_cast<float*>(output->data);
  if (levels && output->data != nullptr) {
    made.resize(values);
    result = made.data();
  }
  const Outcome done = session->session->run(map, shape, others.data(), count - 1,
                                             output->bytes % one == 0 ? result : nullptr, values, &computed, hooks);
  if (done.ok() && levels) bitsr::give_map(made.data(), computed, form_of(*output, info), output->data);
  if (computed.n > 0) {
    output->rank = 4;
    const int64_t sides[4] = {computed.n, computed.c, computed.h, computed.w};
    std::memcpy(output->shape, sides, sizeof(sides));
  }
  return done;
}

}  // namespace

bitsr_status bitsr_open(const char* path, const bitsr_options* options, bitsr_session** session) {
  return open_by(options, session, [path](const bitsr::SessionOptions& chosen, Session** opened) -> Outcome {
    BITSR_TRY(capi::require(path, "the path of the artifact"));
    return Session::open(path, chosen, opened);
  });
}

bitsr_status bitsr_open_memory(const void* content, size_t bytes, const char* metadata, const bitsr_options* options,
                               bitsr_session** session) {
  return open_by(options, session, [&](const bitsr::SessionOptions& chosen, Session** opened) {
    return Session::open_memory(content, bytes, metadata, chosen, opened);
  });
}

void bitsr_close(bitsr_session* session) { delete session; }

bitsr_status bitsr_get_info(const bitsr_session* session, bitsr_info* info) {
  return capi::call([&]() -> Outcome {
    BITSR_TRY(capi::require(session, "the session"));
    BITSR_TRY(capi::require(info, "the place of the info"));
    const bitsr::SessionInfo& own = session->session->info();
    bitsr_info known = BITSR_INFO_INIT;
    BITSR_TRY(take(info, "bitsr_info", &known));  // checks the size
    known.size = info->size;
    known.format = own.format == bitsr::Format::pte ? "pte" : "tflite";
    known.runtime = own.runtime;
    known.runtime_version = own.runtime_version;
    known.isa = bitsr::isa_name(own.isa);
    known.metadata = own.sidecar;
    known.artifact_bytes = own.bytes;
    known.threads = own.threads;
    known.scale = own.scale;
    known.in_channels = own.in_channels;
    known.out_channels = own.out_channels;
    known.min_side = own.min_side;
    known.multiple = own.multiple;
    known.max_pixels = own.max_pixels;
    known.receptive_field_radius = own.receptive_field_radius;
    known.low = own.low;
    known.high = own.high;
    const int64_t sides[4] = {own.input.n, own.input.c, own.input.h, own.input.w};
    std::memcpy(known.input_shape, sides, sizeof(sides));
    known.other_inputs = own.other_count;
    known.dtype = own.pixels ? BITSR_UINT8 : BITSR_FLOAT32;
    std::memcpy(info, &known, std::min(info->size, sizeof(known)));
    return {};
  });
}

bitsr_status bitsr_upscale(bitsr_session* session, const bitsr_image* picture, const bitsr_image* output,
                           const bitsr_upscale_options* options) {
  return capi::call([&]() -> Outcome {
    BITSR_TRY(capi::require(session, "the session"));
    BITSR_TRY(capi::require(picture, "the picture"));
    bitsr_upscale_options given = BITSR_UPSCALE_OPTIONS_INIT;
    BITSR_TRY(take(options, "bitsr_upscale_options", &given));
    if ((output != nullptr) == (given.rows != nullptr))
      return failed(ErrorKind::argument, "%s an output and a callback for rows, expected one of them",
                    output == nullptr ? "there is neither" : "there are both");
    const bitsr::Pixels pixels = {picture->data,     picture->width,  picture->height,
                                  picture->channels, picture->stride, picture->bytes};
    bitsr::OutputPixels to;
    if (output != nullptr) {
      const int64_t scale = session->session->info().scale;
      if (output->channels != picture->channels || output->width != picture->width * scale ||
          output->height != picture->height * scale)
        return failed(ErrorKind::argument,
                      "the output is %lldx%lld of %d channels, expected %lld times the picture's %lldx%lld of %d",
                      static_cast<long long>(output->width), static_cast<long long>(output->height), output->channels,
                      static_cast<long long>(scale), static_cast<long long>(picture->width),
                      static_cast<long long>(picture->height), picture->channels);
      to = {output->data, output->stride, output->bytes};
    }
    // The callbacks of C say 0 to go on.
    bitsr::UpscaleOptions chosen;
    chosen.tile_pixels = given.tile_pixels;
    chosen.context = &given;
    if (given.progress != nullptr)
      chosen.progress = [](void* context, int64_t done, int64_t total) {
        const auto* o = static_cast<const bitsr_upscale_options*>(context);
        return o->progress(o->context, done, total) == 0;
      };
    if (given.rows != nullptr)
      chosen.rows = [](void* context, int64_t top, int64_t count, const uint8_t* data, int64_t stride) {
        const auto* o = static_cast<const bitsr_upscale_options*>(context);
        return o->rows(o->context, top, count, data, stride) == 0;
      };
    return session->session->upscale(pixels, to, chosen);
  });
}

bitsr_status bitsr_run(bitsr_session* session, const bitsr_tensor* inputs, int32_t count, bitsr_tensor* output) {
  return capi::call([&] { return run(session, inputs, count, output, {}); });
}

bitsr_status bitsr_output_shape(bitsr_session* session, const int64_t map[4], int64_t shape[4]) {
  return capi::call([&]() -> Outcome {
    BITSR_TRY(capi::require(session, "the session"));
    BITSR_TRY(capi::require(map, "the shape of the map"));
    BITSR_TRY(capi::require(shape, "the place of the shape"));
    Shape found{};
    BITSR_TRY(session->session->output_for({map[0], map[1], map[2], map[3]}, &found));
    const int64_t sides[4] = {found.n, found.c, found.h, found.w};
    std::memcpy(shape, sides, sizeof(sides));
    return {};
  });
}

bitsr_status bitsr_profile(bitsr_session* session, const bitsr_tensor* inputs, int32_t count, bitsr_tensor* output,
                           bitsr_profile_entry entry, void* context) {
  return capi::call([&]() -> Outcome {
    if (entry == nullptr) return failed(ErrorKind::argument, "the function for the entries is null");
    struct Listener {
      bitsr_profile_entry entry;
      void* context;
    } listener = {entry, context};
    bitsr::RunHooks hooks;
    hooks.context = &listener;
    hooks.profile = [](void* own, const bitsr::ProfileEntry& one) {
      const auto* l = static_cast<const Listener*>(own);
      l->entry(l->context, one.name, one.kind, one.ms);
    };
    return run(session, inputs, count, output, hooks);
  });
}

bitsr_status bitsr_set_process_threads(int32_t threads, const char* pte_library) {
  return capi::call([&] { return bitsr::set_process_threads(threads, pte_library); });
}
