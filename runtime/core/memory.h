// Aligned buffers and arrays without the standard library's runtime. Allocation failure is a false, never an exception.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace bitsr {

// Zeroed memory, aligned to a cache line, that grows on demand.
class Buffer {
 public:
  Buffer() = default;
  ~Buffer() { free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  // At least `bytes`; the content is lost and zeroed when it grows.
  bool reserve(size_t bytes) {
    if (bytes <= size_) return true;
    if (bytes > SIZE_MAX - 2 * kAlignment) return false;
    const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    free(data_);
    size_ = 0;
    data_ = nullptr;
    void* fresh = nullptr;
    if (posix_memalign(&fresh, kAlignment, rounded) != 0) return false;
    memset(fresh, 0, rounded);
    data_ = fresh;
    size_ = rounded;
    return true;
  }
  void clear() {
    if (data_) memset(data_, 0, size_);
  }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  size_t size() const { return size_; }

 private:
  static constexpr size_t kAlignment = 64;
  void* data_ = nullptr;
  size_t size_ = 0;
};

// A growing array of plain values.
template <class T>
class Array {
 public:
  Array() = default;
  ~Array() { free(data_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  bool push(const T& value) {
    if (count_ == capacity_) {
      const size_t capacity = capacity_ ? 2 * capacity_ : 16;
      void* grown = realloc(static_cast<void*>(data_), capacity * sizeof(T));
      if (!grown) return false;
      data_ = static_cast<T*>(grown);
      capacity_ = capacity;
    }
    data_[count_++] = value;
    return true;
  }
  int32_t count() const { return static_cast<int32_t>(count_); }
  T& operator[](int32_t i) { return data_[i]; }
  const T& operator[](int32_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
  size_t count_ = 0, capacity_ = 0;
};

// Product of sizes; false on overflow.
inline bool multiply(size_t a, size_t b, size_t* product) { return !__builtin_mul_overflow(a, b, product); }

}  // namespace bitsr
