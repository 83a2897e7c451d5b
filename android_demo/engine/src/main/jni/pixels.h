// Pixels of Java (int, 0xAARRGGBB, alpha not multiplied in) and of the C ABI (bytes, 1 to 4 channels).
#pragma once

#include <cstdint>
#include <vector>

namespace bitsr::jni {

// A picture with no more channels than it uses: grey where red = green = blue everywhere, and alpha only where some
// pixel is not opaque. So a grey picture stays grey, as in the command line.
struct PackedPicture {
  std::vector<uint8_t> bytes;
  int32_t channels = 3;

  void read(const int32_t* argb, int64_t width, int64_t height) {
    const int64_t count = width * height;
    bool grey = true, opaque = true;
    for (int64_t i = 0; i < count && (grey || opaque); ++i) {
      const auto pixel = static_cast<uint32_t>(argb[i]);
      const uint32_t green = pixel >> 8 & 0xff;
      grey = grey && green == (pixel & 0xff) && green == (pixel >> 16 & 0xff);
      opaque = opaque && pixel >> 24 == 0xff;
    }
    channels = (grey ? 1 : 3) + (opaque ? 0 : 1);
    bytes.resize(static_cast<size_t>(count * channels));
    uint8_t* to = bytes.data();
    for (int64_t i = 0; i < count; ++i) {
      const auto pixel = static_cast<uint32_t>(argb[i]);
      if (!grey) {
        *to++ = static_cast<uint8_t>(pixel >> 16);
        *to++ = static_cast<uint8_t>(pixel >> 8);
      }
      *to++ = static_cast<uint8_t>(pixel);
      if (!opaque) *to++ = static_cast<uint8_t>(pixel >> 24);
    }
  }
};

// One row of `width` pixels of `channels` bytes.
inline void argb_of(const uint8_t* from, int32_t channels, int64_t width, int32_t* to) {
  const bool grey = channels < 3, opaque = channels % 2 == 1;
  for (int64_t x = 0; x < width; ++x, from += channels) {
    const uint32_t red = from[0], green = grey ? red : from[1], blue = grey ? red : from[2];
    const uint32_t alpha = opaque ? 0xff : from[channels - 1];
    to[x] = static_cast<int32_t>(alpha << 24 | red << 16 | green << 8 | blue);
  }
}

}  // namespace bitsr::jni
