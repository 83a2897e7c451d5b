// A method of a .pte with the memory that it works in, and tensors handed to it.
#pragma once

#include <executorch/runtime/executor/method.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <vector>

namespace bitsr {

constexpr size_t kLargePage = size_t{2} << 20;

// Memory whose pages are there once they are touched.
class Arena {
 public:
  explicit Arena(size_t size) : size_(size) {
    void* mapped =
        size == 0 ? nullptr
                  : mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<uint8_t*>(mapped);
#if defined(MADV_HUGEPAGE)
    // Where the system has large pages: fewer translations, and the processor's prefetching does not end every 4 KiB.
    if (size >= kLargePage) madvise(mapped, size, MADV_HUGEPAGE);
#endif
  }
  ~Arena() {
    if (data_ != nullptr) munmap(data_, size_);
  }
  Arena(Arena&& other) noexcept : data_(other.data_), size_(other.size_) { other.data_ = nullptr; }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  executorch::runtime::Span<uint8_t> span() const { return {data_, size_}; }

 private:
  uint8_t* data_;
  size_t size_;
};

// Memory of no planned size, freed as a whole.
class GrowingMemory final : public executorch::runtime::MemoryAllocator {
 public:
  GrowingMemory() : MemoryAllocator(0, nullptr) {}
  void* allocate(size_t size, size_t alignment) override {
    void* block = nullptr;
    if (posix_memalign(&block, std::max(alignment, sizeof(void*)), size) != 0) return nullptr;
    blocks_.emplace_back(block);
    return block;
  }
  void reset() override { blocks_.clear(); }

 private:
  struct Free {
    void operator()(void* block) const { std::free(block); }
  };
  std::vector<std::unique_ptr<void, Free>> blocks_;
};

struct LoadedMethod {
  std::vector<Arena> arenas;
  std::vector<executorch::runtime::Span<uint8_t>> spans;
  std::optional<executorch::runtime::HierarchicalAllocator> planned;
  GrowingMemory method_memory, temporary;
  std::optional<executorch::runtime::MemoryManager> manager;
  std::optional<executorch::runtime::Method> method;
  bool stepping = false;  // step() was called, and reset_execution() not yet
};

// Type, sides and order of the dimensions of a dense tensor.
struct TensorForm {
  executorch::aten::ScalarType type{};
  std::vector<executorch::aten::SizesType> sizes;
  std::vector<executorch::aten::DimOrderType> order;

  explicit TensorForm(const executorch::runtime::TensorInfo& info)
      : type(info.scalar_type()),
        sizes(info.sizes().begin(), info.sizes().end()),
        order(info.dim_order().begin(), info.dim_order().end()) {}

  int64_t count() const {
    int64_t product = 1;
    for (const auto side : sizes) product *= side;
    return product;
  }
};

// `data` is of that form, and stays where it is until the method has run.
inline executorch::runtime::Error give_tensor(executorch::runtime::Method* method, size_t index, TensorForm form,
                                              void* data) {
  std::vector<executorch::aten::StridesType> strides(form.sizes.size());
  executorch::aten::StridesType stride = 1;
  for (size_t i = form.sizes.size(); i-- > 0;) {
    strides[form.order[i]] = stride;
    stride *= form.sizes[form.order[i]];
  }
  executorch::aten::TensorImpl impl(form.type, static_cast<ssize_t>(form.sizes.size()), form.sizes.data(), data,
                                    form.order.data(), strides.data());
  return method->set_input(executorch::runtime::EValue(executorch::aten::Tensor(&impl)), index);
}

}  // namespace bitsr
