#include "tflite_file.h"

#include <cstring>
#include <string_view>

namespace bitsr {
namespace {

constexpr std::string_view kName = "bitsr";  // bitsr/artifact/tflite.py
// Fields of the tables of TensorFlow Lite's schema: of Model, Metadata and Buffer.
constexpr unsigned kModelBuffers = 4, kModelMetadata = 6, kMetadataName = 0, kMetadataBuffer = 1, kBufferData = 0;

// FlatBuffers, every read within the file: a table begins with the distance back to its list of fields, an offset
// counts from where it stands, a vector begins with its length. Place 0 is no table's: the file begins with an offset.
class File {
 public:
  File(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  size_t root() const { return follow(0); }

  // Where a field of a table stands; 0: it has none.
  size_t field(size_t table, unsigned number) const {
    int32_t back = 0;
    uint16_t list_bytes = 0, place = 0;
    if (table == 0 || !read(table, &back)) return 0;
    const int64_t list = static_cast<int64_t>(table) - back, at = list + 4 + 2 * static_cast<int64_t>(number);
    if (list < 0 || !read(static_cast<size_t>(list), &list_bytes) || 6 + 2 * number > list_bytes ||
        !read(static_cast<size_t>(at), &place) || place == 0)
      return 0;
    return table + place;
  }

  // Where the offset at a place leads; 0: out of the file.
  size_t follow(size_t place) const {
    uint32_t offset = 0;
    if (!read(place, &offset) || offset == 0 || offset > size_ - place) return 0;
    return place + offset;
  }

  // A vector or string at the field, and how many elements of so many bytes it has; false: none that lies in the file.
  bool vector(size_t table, unsigned number, size_t element, size_t* first, size_t* count) const {
    const size_t at = field(table, number), start = at == 0 ? 0 : follow(at);
    uint32_t length = 0;
    if (start == 0 || !read(start, &length) || length > (size_ - start - 4) / element) return false;
    *first = start + 4;
    *count = length;
    return true;
  }

  bool text(size_t table, unsigned number, std::string_view* text) const {
    size_t first = 0, count = 0;
    if (!vector(table, number, 1, &first, &count)) return false;
    *text = {reinterpret_cast<const char*>(data_) + first, count};
    return true;
  }

  template <typename T>
  bool read(size_t place, T* value) const {
    if (place > size_ || size_ - place < sizeof(T)) return false;
    std::memcpy(value, data_ + place, sizeof(T));
    return true;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

}  // namespace

std::string read_tflite_metadata(const uint8_t* data, size_t size) {
  const File file(data, size);
  const size_t model = file.root();
  size_t entries = 0, entry_count = 0, buffers = 0, buffer_count = 0;
  if (!file.vector(model, kModelMetadata, 4, &entries, &entry_count) ||
      !file.vector(model, kModelBuffers, 4, &buffers, &buffer_count))
    return "";
  for (size_t i = 0; i < entry_count; ++i) {
    const size_t entry = file.follow(entries + 4 * i), number = file.field(entry, kMetadataBuffer);
    std::string_view text;
    uint32_t buffer = 0;  // a number of 0 is not written
    if (!file.text(entry, kMetadataName, &text) || text != kName) continue;
    if (number != 0 && !file.read(number, &buffer)) return "";
    if (buffer >= buffer_count || !file.text(file.follow(buffers + 4 * buffer), kBufferData, &text)) return "";
    return std::string(text);
  }
  return "";
}

}  // namespace bitsr
