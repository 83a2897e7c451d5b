#include "options.h"

#include <cstring>

namespace bitsr::tflite {
namespace {

constexpr int kTypeInt = 1;
constexpr int kTypeUint = 2;
constexpr int kTypeMap = 9;
constexpr size_t kMaxOptions = 64;

bool read(const uint8_t* data, size_t size, size_t offset, size_t width, uint64_t* value) {
  if (offset > size || width > size - offset) return false;
  *value = 0;
  std::memcpy(value, data + offset, width);  // little-endian, as every supported platform
  return true;
}

// The offset that lies `distance` bytes before `from`, where a reference of FlexBuffers points.
bool before(size_t from, uint64_t distance, size_t* offset) {
  if (distance > from) return false;
  *offset = from - static_cast<size_t>(distance);
  return true;
}

}  // namespace

bool OptionMap::open(const void* data, size_t size) {
  data_ = static_cast<const uint8_t*>(data);
  size_ = size;
  count_ = 0;
  // The last bytes are: root value, its packed type, its width.
  if (data == nullptr || size < 3) return false;
  const size_t root_width = data_[size - 1];
  const int type = data_[size - 2];
  if (type >> 2 != kTypeMap || (root_width != 1 && root_width != 2 && root_width != 4 && root_width != 8)) return false;
  width_ = size_t(1) << (type & 3);
  if (size - 2 < root_width) return false;
  const size_t root = size - 2 - root_width;
  uint64_t number = 0;
  if (!read(data_, size, root, root_width, &number) || !before(root, number, &values_)) return false;
  // Before the values: offset of the key vector, width of its entries, number of entries.
  if (values_ < 3 * width_) return false;
  uint64_t count = 0, key_width = 0, distance = 0;
  const size_t head = values_ - 3 * width_;
  if (!read(data_, size, head, width_, &distance) || !read(data_, size, head + width_, width_, &key_width) ||
      !read(data_, size, head + 2 * width_, width_, &count) || !before(head, distance, &keys_))
    return false;
  if (count > kMaxOptions || (key_width != 1 && key_width != 2 && key_width != 4 && key_width != 8)) return false;
  key_width_ = static_cast<size_t>(key_width);
  // After the values: a packed type for each.
  if (count * (width_ + 1) > size - values_ || count * key_width_ > size - keys_) return false;
  count_ = static_cast<size_t>(count);
  return true;
}

bool OptionMap::find(const char* name, int64_t* value) const {
  const size_t length = std::strlen(name) + 1;  // with the zero that ends a key
  for (size_t i = 0; i < count_; ++i) {
    uint64_t distance = 0;
    size_t key = 0;
    const size_t reference = keys_ + i * key_width_;
    if (!read(data_, size_, reference, key_width_, &distance) || !before(reference, distance, &key)) return false;
    if (length > size_ - key || std::memcmp(data_ + key, name, length) != 0) continue;
    const int type = data_[values_ + count_ * width_ + i] >> 2;
    uint64_t raw = 0;
    if ((type != kTypeInt && type != kTypeUint) || !read(data_, size_, values_ + i * width_, width_, &raw))
      return false;
    const int unused = 64 - 8 * static_cast<int>(width_);
    *value = type == kTypeInt ? static_cast<int64_t>(raw << unused) >> unused : static_cast<int64_t>(raw);
    return true;
  }
  return false;
}

}  // namespace bitsr::tflite
