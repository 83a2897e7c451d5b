#include "upscale.h"

#include <algorithm>
#include <cmath>

#include "bicubic.h"

namespace bitsr {
namespace {

constexpr int32_t kLevels = 256;

bool has_transparency(int32_t channels) { return channels == 2 || channels == 4; }
int32_t colours_of(int32_t channels) { return has_transparency(channels) ? channels - 1 : channels; }

// BT.601, in 16 bits behind the point.
uint8_t luma(const uint8_t* rgb) {
  return static_cast<uint8_t>((19595 * rgb[0] + 38470 * rgb[1] + 7471 * rgb[2] + 0x8000) >> 16);
}

int64_t rounded_up(int64_t side, const Metadata& m) {
  const int64_t least = std::max(side, m.min_side);
  return (least + m.multiple - 1) / m.multiple * m.multiple;
}

Outcome check_memory(const char* what, const void* data, int64_t width, int64_t height, int32_t channels,
                     int64_t stride, size_t bytes) {
  const int64_t row = width * channels;
  if (data == nullptr) return failed(ErrorKind::argument, "the %s has no memory: its pointer is null", what);
  if (stride < row || stride > INT64_MAX / kMaxSide)
    return failed(ErrorKind::argument,
                  "the rows of the %s are %lld bytes apart, expected at least %lld: %lld pixels of %d channels", what,
                  static_cast<long long>(stride), static_cast<long long>(row), static_cast<long long>(width), channels);
  const auto needed = static_cast<size_t>((height - 1) * stride + row);
  if (bytes < needed)
    return failed(ErrorKind::argument, "the %s of %lldx%lld pixels takes %zu bytes, got memory for %zu", what,
                  static_cast<long long>(width), static_cast<long long>(height), needed, bytes);
  return {};
}

class Upscaler {
 public:
  Upscaler(const Metadata& metadata, const std::string& name, const Pixels& image, const UpscaleOptions& options,
           TileNetwork* network)
      : metadata_(metadata), name_(name), image_(image), options_(options), network_(network) {
    if (image_.stride == 0) image_.stride = image_.width * image_.channels;
    for (int32_t level = 0; level < kLevels; ++level)
      levels_[level] = from_level(static_cast<uint8_t>(level), metadata.range);
  }

  Outcome run(OutputPixels output);

 private:
  Outcome check() const;
  Outcome plan();
  Outcome tile(const Tile& tile, uint8_t* row_of_tiles);
  void write(const Tile& tile, int64_t width, uint8_t* row_of_tiles) const;
  void transparency(const Span& rows, uint8_t* to) const;

  const Metadata& metadata_;
  const std::string& name_;
  Pixels image_;
  const UpscaleOptions& options_;
  TileNetwork* network_;
  float levels_[kLevels];
  int64_t stride_ = 0;  // of the output
  std::vector<Tile> tiles_;
  std::vector<float> map_, result_;
};

Outcome Upscaler::check() const {
  const Pixels& p = image_;
  if (metadata_.diffusion || metadata_.in_channels != 3 || metadata_.out_channels != 3)
    return failed(ErrorKind::unsupported,
                  "%s does not upscale pictures: it maps %d channels to %d%s, expected RGB to RGB", name_.c_str(),
                  metadata_.in_channels, metadata_.out_channels,
                  metadata_.diffusion ? ", and is a step of a diffusion model" : "");
  if (p.width < 1 || p.height < 1 || p.width > kMaxSide || p.height > kMaxSide)
    return failed(ErrorKind::argument, "the picture has %lldx%lld pixels, expected sides of 1 to %lld",
                  static_cast<long long>(p.width), static_cast<long long>(p.height), static_cast<long long>(kMaxSide));
  if (p.channels < 1 || p.channels > 4)
    return failed(ErrorKind::argument,
                  "the picture has %d channels, expected 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA)", p.channels);
  return check_memory("picture", p.data, p.width, p.height, p.channels, p.stride, p.bytes);
}

Outcome Upscaler::plan() {
  const int64_t tile_pixels = options_.tile_pixels == 0 ? kTilePixels : options_.tile_pixels;
  if (tile_pixels < 1)
    return failed(ErrorKind::argument, "tiles of %lld pixels, expected at least 1",
                  static_cast<long long>(tile_pixels));
  const bool one_size =
      metadata_.min_side == metadata_.multiple && metadata_.max_pixels == metadata_.min_side * metadata_.min_side;
  int64_t longest = one_size ? metadata_.min_side : 0;
  // A longer tile of few rows would be filled beyond the limit.
  if (!one_size && metadata_.min_side > 1) longest = metadata_.max_pixels / metadata_.min_side;
  return plan_tiles(image_.height, image_.width,
                    {metadata_.receptive_field_radius, std::min(tile_pixels, metadata_.max_pixels), longest}, &tiles_);
}

// The network's input is the tile, its last row and column repeated until the network takes the size.
Outcome Upscaler::tile(const Tile& tile, uint8_t* row_of_tiles) {
  const int64_t rows = tile.read_rows.length(), columns = tile.read_columns.length();
  const int64_t height = rounded_up(rows, metadata_), width = rounded_up(columns, metadata_);
  map_.resize(static_cast<size_t>(3 * height * width));
  const int32_t colours = colours_of(image_.channels);
  float* to = map_.data();
  for (int32_t c = 0; c < 3; ++c)
    for (int64_t y = 0; y < height; ++y) {
      const uint8_t* from = image_.data + (tile.read_rows.begin + std::min(y, rows - 1)) * image_.stride +
                            tile.read_columns.begin * image_.channels + (colours == 3 ? c : 0);
      for (int64_t x = 0; x < width; ++x) *to++ = levels_[from[std::min(x, columns - 1) * image_.channels]];
    }
  BITSR_TRY(network_->run(map_, height, width, &result_));
  for (const float value : result_)
    if (std::isnan(value))
      return failed(ErrorKind::model,
                    "%s gives values that are not numbers, expected finite ones; its weights are broken, use others",
                    name_.c_str());
  write(tile, width, row_of_tiles);
  return {};
}

// The kept part of the tile to its place. `row_of_tiles` is the first pixel of the rows that its row of tiles keeps.
void Upscaler::write(const Tile& tile, int64_t width, uint8_t* row_of_tiles) const {
  const int64_t scale = metadata_.scale, row = width * scale;
  const auto plane = static_cast<int64_t>(result_.size()) / 3;
  const int64_t first_row = (tile.kept_rows.begin - tile.read_rows.begin) * scale;
  const int64_t first_column = (tile.kept_columns.begin - tile.read_columns.begin) * scale;
  for (int64_t y = 0; y < tile.kept_rows.length() * scale; ++y) {
    const float* from = result_.data() + (first_row + y) * row + first_column;
    uint8_t* to = row_of_tiles + y * stride_ + tile.kept_columns.begin * scale * image_.channels;
    for (int64_t x = 0; x < tile.kept_columns.length() * scale; ++x, to += image_.channels) {
      uint8_t rgb[3];
      for (int64_t c = 0; c < 3; ++c) rgb[c] = to_level(from[c * plane + x], metadata_.range);
      if (colours_of(image_.channels) == 3)
        std::copy(rgb, rgb + 3, to);
      else
        *to = luma(rgb);
    }
  }
}

void Upscaler::transparency(const Span& rows, uint8_t* to) const {
  if (!has_transparency(image_.channels)) return;
  const int32_t channel = image_.channels - 1;
  const Plane plane = {image_.data + channel, image_.height, image_.width, image_.channels, image_.stride};
  const Span enlarged = {rows.begin * metadata_.scale, rows.end * metadata_.scale};
  enlarge_rows(plane, metadata_.scale, enlarged, to + channel, image_.channels, stride_);
}

Outcome Upscaler::run(OutputPixels output) {
  BITSR_TRY(check());
  BITSR_TRY(plan());
  const int64_t scale = metadata_.scale, width = image_.width * scale, height = image_.height * scale;
  const bool to_memory = options_.rows == nullptr;
  stride_ = !to_memory || output.stride == 0 ? width * image_.channels : output.stride;
  if (to_memory) BITSR_TRY(check_memory("output", output.data, width, height, image_.channels, stride_, output.bytes));
  std::vector<uint8_t> row_of_tiles;
  const int64_t total = image_.width * image_.height;
  int64_t done = 0;
  if (options_.progress != nullptr && !options_.progress(options_.context, 0, total)) return cancelled();
  for (const Tile& one : tiles_) {
    const Span& rows = one.kept_rows;
    const int64_t count = rows.length() * scale;
    if (!to_memory) row_of_tiles.resize(static_cast<size_t>(count * stride_));
    uint8_t* to = to_memory ? output.data + rows.begin * scale * stride_ : row_of_tiles.data();
    if (one.kept_columns.begin == 0) transparency(rows, to);
    BITSR_TRY(tile(one, to));
    done += rows.length() * one.kept_columns.length();
    const bool row_ends = one.kept_columns.end == image_.width;
    if (row_ends && !to_memory && !options_.rows(options_.context, rows.begin * scale, count, to, stride_))
      return cancelled();
    if (options_.progress != nullptr && !options_.progress(options_.context, done, total)) return cancelled();
  }
  return {};
}

}  // namespace

Outcome upscale(const Metadata& metadata, const std::string& name, const Pixels& image, const OutputPixels& output,
                const UpscaleOptions& options, TileNetwork* network) {
  return Upscaler(metadata, name, image, options, network).run(output);
}

}  // namespace bitsr
