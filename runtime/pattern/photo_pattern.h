// What is timed where no picture is given: patches that hold patches, as a photo has areas, edges and texture. Kernels
// of integers take more time for values that photos do not have.
#pragma once

#include <cstdint>

namespace bitsr {

// A number in [0, 1) of a place, the same on every machine.
inline float hashed(uint32_t plane, uint32_t row, uint32_t column, uint32_t salt) {
  uint32_t mixed = plane * 0x9e3779b1u + row * 0x85ebca6bu + column * 0xc2b2ae35u + salt * 0x27d4eb2fu;
  mixed = (mixed ^ (mixed >> 16)) * 0x7feb352du;
  mixed = (mixed ^ (mixed >> 15)) * 0x846ca68bu;
  mixed ^= mixed >> 16;
  return static_cast<float>(mixed >> 8) / 16777216.0f;
}

// A value of a plane, in [0, 1]; as in validation/timing/pattern.py, number for number.
inline float photo_pattern(int64_t plane, int64_t y, int64_t x) {
  struct Patches {
    uint32_t side;
    float contrast;
  };
  // Of one grey; the planes of a picture differ by less.
  constexpr Patches kPatches[] = {{16, 0.625f}, {4, 0.25f}, {1, 0.0625f}};
  constexpr Patches kColour = {16, 0.0625f};
  const auto row = static_cast<uint32_t>(y), column = static_cast<uint32_t>(x);
  const auto value = [&](uint32_t of, const Patches& patches) {
    return patches.contrast * hashed(of, row / patches.side, column / patches.side, patches.side);
  };
  float sum = 0;
  for (const Patches& patches : kPatches) sum += value(0, patches);
  return sum + value(static_cast<uint32_t>(plane) + 1, kColour);
}

}  // namespace bitsr
