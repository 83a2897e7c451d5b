// Options of a custom op: a FlexBuffers map from names to integers, read with every offset checked.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitsr::tflite {

class OptionMap {
 public:
  // False: the bytes are no FlexBuffers map.
  bool open(const void* data, size_t size);
  // False: there is no such integer.
  bool find(const char* name, int64_t* value) const;

 private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  size_t values_ = 0;  // offset of the first value
  size_t count_ = 0;
  size_t width_ = 0;  // bytes of a value
  size_t keys_ = 0;   // offset of the key vector
  size_t key_width_ = 0;
};

}  // namespace bitsr::tflite
