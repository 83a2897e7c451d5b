// What a page calls: open a .tflite of our ops, enlarge a picture tile by tile. One picture at a time, on one thread.
//
// Every function that can fail gives 0 for success, otherwise an ErrorKind; bitsr_web_error() then has the message.
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "artifact/core_program.h"
#include "artifact/tflite_metadata.h"
#include "bitsr/isa.h"
#include "runner/metadata.h"
#include "runner/outcome.h"
#include "runner/upscale.h"

#define EXPORT(name) __attribute__((export_name(#name)))

// The page's: pixels of the picture that are done, of all. 0 goes on, everything else ends the call.
extern "C" __attribute__((import_module("page"), import_name("progress"))) int32_t page_progress(double done,
                                                                                                 double total);

namespace bitsr {
namespace {

struct Loaded {
  Metadata metadata;
  std::string text;  // JSON
  CoreProgram core;
};

// A page has one network at a time.
std::unique_ptr<Loaded> loaded;
Outcome last;

int32_t finished(const Outcome& outcome) {
  last = outcome;
  return static_cast<int32_t>(outcome.kind);
}

constexpr char kName[] = "the model";

Outcome open(const uint8_t* content, size_t size) {
  auto next = std::make_unique<Loaded>();
  next->text = read_tflite_metadata(content, size);
  if (next->text.empty())
    return failed(ErrorKind::format, "%s has no metadata; take a .tflite that bitsr export has written", kName);
  BITSR_TRY(parse_metadata(next->text, kName, kName, &next->metadata));
  BITSR_TRY(check_together(next->metadata, next->text, true, content, size, kName));
  BITSR_TRY(from_status(load_tflite_program(content, size, Isa::automatic, &next->core)));
  if (next->core.program == nullptr)
    return failed(ErrorKind::framework, "%s has %s, which is none of our ops; a page has nothing else", kName,
                  next->core.foreign.c_str());
  loaded = std::move(next);
  return {};
}

struct OneProgram final : TileNetwork {
  Outcome run(const std::vector<float>& map, int64_t height, int64_t width, std::vector<float>* output) override {
    const int64_t scale = loaded->metadata.scale;
    output->resize(static_cast<size_t>(3 * height * width * scale * scale));
    const TensorView in = {const_cast<float*>(map.data()), 1, 3, height, width, Layout::nchw};
    const TensorView out = {output->data(), 1, 3, height * scale, width * scale, Layout::nchw};
    return from_status(loaded->core.program->run(&in, &out, {}));
  }
};

Outcome enlarge(const uint8_t* rgba, int64_t width, int64_t height, int64_t tile_pixels, uint8_t* output,
                size_t bytes) {
  if (!loaded) return failed(ErrorKind::argument, "no model is open");
  UpscaleOptions options;
  options.tile_pixels = tile_pixels;
  options.progress = [](void*, int64_t done, int64_t total) {
    return page_progress(static_cast<double>(done), static_cast<double>(total)) == 0;
  };
  OneProgram network;
  const Pixels picture = {rgba, width, height, 4, 0, static_cast<size_t>(width * height * 4)};
  return upscale(loaded->metadata, kName, picture, {output, 0, bytes}, options, &network);
}

}  // namespace
}  // namespace bitsr

extern "C" {

EXPORT(bitsr_web_allocate) void* bitsr_web_allocate(size_t bytes) { return std::malloc(bytes); }
EXPORT(bitsr_web_free) void bitsr_web_free(void* memory) { std::free(memory); }
// A null-terminated UTF-8 text, until the next call.
EXPORT(bitsr_web_error) const char* bitsr_web_error() { return bitsr::last.message; }
// The fastest kernels of this build.
EXPORT(bitsr_web_isa) const char* bitsr_web_isa() { return bitsr::isa_name(bitsr::best_isa()); }

// The model that was open stays where this fails. `content` is no longer needed behind the call.
EXPORT(bitsr_web_open) int32_t bitsr_web_open(const uint8_t* content, size_t size) {
  return bitsr::finished(bitsr::open(content, size));
}

// The metadata of the open model, JSON; "" where none is.
EXPORT(bitsr_web_metadata) const char* bitsr_web_metadata() { return bitsr::loaded ? bitsr::loaded->text.c_str() : ""; }

// RGBA pixels of 8 bits, alpha not multiplied in; `output` has scale times the sides. A tile has at most `tile_pixels`.
EXPORT(bitsr_web_upscale)
int32_t bitsr_web_upscale(const uint8_t* rgba, int32_t width, int32_t height, int32_t tile_pixels, uint8_t* output,
                          size_t bytes) {
  return bitsr::finished(bitsr::enlarge(rgba, width, height, tile_pixels, output, bytes));
}

}  // extern "C"
