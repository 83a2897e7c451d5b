// A picture of any size through a network, tile by tile: the contract of bitsr/inference/upscale.py, the same pixels.
#pragma once

#include <vector>

#include "metadata.h"
#include "tiler.h"

namespace bitsr {

// The network of one tile: a map (1, 3, height, width) in the network's value range gives (1, 3, scale * height,
// scale * width), which is checked by who implements it.
struct TileNetwork {
  virtual ~TileNetwork() = default;
  virtual Outcome run(const std::vector<float>& map, int64_t height, int64_t width, std::vector<float>* output) = 0;
};

// Session::upscale. `name` stands in errors.
Outcome upscale(const Metadata& metadata, const std::string& name, const Pixels& image, const OutputPixels& output,
                const UpscaleOptions& options, TileNetwork* network);

}  // namespace bitsr
