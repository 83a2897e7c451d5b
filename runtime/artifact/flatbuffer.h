// FlatBuffers without a schema's classes, every read within the file: nothing in it is trusted.
//
// A table begins with the distance back to its list of fields, an offset counts from where it stands, a vector begins
// with its length. Place 0 is no table's: a file begins with an offset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace bitsr {

class FlatBuffer {
 public:
  FlatBuffer(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  // Elements of a vector: where the first stands, and how many there are.
  struct Vector {
    size_t first = 0, count = 0;
  };

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

  // The table at a field; 0: none.
  size_t table(size_t table, unsigned number) const {
    const size_t at = field(table, number);
    return at == 0 ? 0 : follow(at);
  }

  // The table at a place of a vector of tables; 0: none.
  size_t table_of(const Vector& tables, size_t index) const {
    return index < tables.count ? follow(tables.first + 4 * index) : 0;
  }

  // A vector or string at the field, of elements of so many bytes; false: none that lies in the file.
  bool vector(size_t table, unsigned number, size_t element, Vector* found) const {
    const size_t at = field(table, number), start = at == 0 ? 0 : follow(at);
    uint32_t length = 0;
    if (start == 0 || !read(start, &length) || length > (size_ - start - 4) / element) return false;
    *found = {start + 4, length};
    return true;
  }

  bool text(size_t table, unsigned number, std::string_view* text) const {
    Vector bytes;
    if (!vector(table, number, 1, &bytes)) return false;
    *text = {reinterpret_cast<const char*>(data_) + bytes.first, bytes.count};
    return true;
  }

  template <typename T>
  bool read(size_t place, T* value) const {
    if (place > size_ || size_ - place < sizeof(T)) return false;
    std::memcpy(value, data_ + place, sizeof(T));
    return true;
  }

  // A number at a field. One that has the schema's default is not written; `value` then stays as it is.
  template <typename T>
  bool number(size_t table, unsigned number, T* value) const {
    const size_t at = field(table, number);
    return at == 0 || read(at, value);
  }

  // Element `index` of a vector of numbers; the caller has compared it with the count.
  template <typename T>
  T at(const Vector& numbers, size_t index) const {
    T value{};
    read(numbers.first + sizeof(T) * index, &value);
    return value;
  }

  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  const uint8_t* data_;
  size_t size_;
};

}  // namespace bitsr
