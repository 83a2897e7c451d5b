// The tiler and the upscaler on any metadata and any sizes, with a network that enlarges by repeating pixels: whatever
// the tiles, the result must be the picture with its pixels repeated, and no call may leave the caller's memory.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "json.h"
#include "upscale.h"

namespace {

using namespace bitsr;

void check(bool condition) {
  if (!condition) std::abort();
}

// Numbers from the input; zeros behind its end.
struct Reader {
  const uint8_t* data;
  size_t size;
  int64_t byte() { return size == 0 ? 0 : (--size, *data++); }
  int64_t number(int64_t most) { return (byte() << 8 | byte()) % (most + 1); }
};

struct Repeating final : TileNetwork {
  int64_t scale = 1, min_side = 1, multiple = 1;
  Outcome run(const std::vector<float>& map, int64_t height, int64_t width, std::vector<float>* output) override {
    check(static_cast<int64_t>(map.size()) == 3 * height * width);
    check(height >= min_side && width >= min_side && height % multiple == 0 && width % multiple == 0);
    output->resize(map.size() * static_cast<size_t>(scale * scale));
    for (int64_t row = 0; row < 3 * height * scale; ++row)
      for (int64_t x = 0; x < width * scale; ++x)
        (*output)[static_cast<size_t>(row * width * scale + x)] =
            map[static_cast<size_t>(row / scale * width + x / scale)];
    return {};
  }
};

struct Rows {
  std::vector<uint8_t> pixels;
  int64_t next = 0;
};

bool take_rows(void* context, int64_t top, int64_t count, const uint8_t* pixels, int64_t stride) {
  auto* rows = static_cast<Rows*>(context);
  check(top == rows->next);
  rows->next += count;
  rows->pixels.insert(rows->pixels.end(), pixels, pixels + count * stride);
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Reader reader = {data, size};
  Metadata metadata;
  metadata.in_channels = metadata.out_channels = 3;
  metadata.scale = static_cast<int32_t>(1 + reader.number(3));
  metadata.min_side = 1 + reader.number(40);
  metadata.multiple = 1 + reader.number(12);
  metadata.max_pixels = 1 + reader.number(4000);
  metadata.receptive_field_radius = reader.number(20);
  Repeating network;
  network.scale = metadata.scale;
  network.min_side = metadata.min_side;
  network.multiple = metadata.multiple;

  const int64_t width = 1 + reader.number(60), height = 1 + reader.number(60), gap = reader.number(5);
  const auto channels = static_cast<int32_t>(1 + reader.number(3));
  const int64_t stride = width * channels + gap;
  std::vector<uint8_t> pixels(static_cast<size_t>((height - 1) * stride + width * channels));
  for (uint8_t& one : pixels) one = static_cast<uint8_t>(reader.byte());
  const Pixels image = {pixels.data(), width, height, channels, gap == 0 ? 0 : stride, pixels.size()};
  UpscaleOptions options;
  options.tile_pixels = reader.number(5000);

  const int64_t scale = metadata.scale, row = width * scale * channels;
  std::vector<uint8_t> whole(static_cast<size_t>(row * height * scale));
  const Outcome done = upscale(metadata, "fuzz", image, {whole.data(), 0, whole.size()}, options, &network);
  check(done.ok() || done.kind == ErrorKind::argument);
  if (!done.ok()) return 0;
  const int32_t colours = channels % 2 == 0 ? channels - 1 : channels;
  for (int64_t y = 0; y < height * scale; ++y)
    for (int64_t x = 0; x < width * scale; ++x)
      for (int32_t c = 0; c < colours; ++c)
        check(whole[static_cast<size_t>(y * row + x * channels + c)] ==
              pixels[static_cast<size_t>(y / scale * stride + x / scale * channels + c)]);
  Rows rows;
  options.context = &rows;
  options.rows = take_rows;
  check(upscale(metadata, "fuzz", image, {}, options, &network).ok());
  check(rows.next == height * scale && rows.pixels == whole);
  return 0;
}
