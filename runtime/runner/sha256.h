// SHA-256 (FIPS 180-4), of pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace bitsr {

class Sha256 {
 public:
  void add(const void* data, size_t size);
  // 64 hexadecimal digits, once.
  std::string finish();

 private:
  void block(const uint8_t* bytes);

  uint32_t state_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  uint64_t size_ = 0;
  uint8_t pending_[64] = {};
};

}  // namespace bitsr
