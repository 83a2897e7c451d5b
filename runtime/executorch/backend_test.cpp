// The backend as ExecuTorch's C++ runtime sees it: refusals, options, layouts and buffers. The numbers that networks
// give are tested from Python (tests/export), where the same backend runs behind XNNPACK.
#include <executorch/runtime/backend/interface.h>
#include <executorch/runtime/platform/runtime.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace {

namespace et = executorch::runtime;
using et::Error;
using executorch::aten::DimOrderType;
using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::aten::StridesType;
using executorch::aten::Tensor;
using executorch::aten::TensorImpl;
using executorch::aten::TensorShapeDynamism;
using Bytes = std::vector<uint8_t>;
using Order = std::array<int, 4>;

constexpr char kBackend[] = "BitsrBackend";
constexpr Order kNchw = {0, 1, 2, 3}, kNhwc = {0, 2, 3, 1}, kNcwh = {0, 1, 3, 2};
constexpr int kChannels = 2;

uint32_t crc32(const uint8_t* data, size_t size) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < size; ++i) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  return ~crc;
}

// y = a + b for maps of kChannels channels.
Bytes add_program(uint32_t version = 1) {
  const uint32_t body[] = {
      0, kChannels, 1, 1, 0, kChannels, 1, 1, 0, kChannels, 1, 1,  // three maps
      4, 2,         1, 0, 0, 0,         1, 2,                      // add: values 0 and 1 to value 2
      0, 1,         2,                                             // inputs 0 and 1, output 2
  };
  Bytes blob(64 + sizeof(body));
  std::memcpy(blob.data() + 64, body, sizeof(body));
  const uint32_t ops = 64 + 12 * 4, inputs = ops + 8 * 4;
  const uint32_t header[] = {
      0,      version,   uint32_t(blob.size()), crc32(blob.data() + 64, sizeof(body)), 3, 1, 2, 1, 64, ops,
      inputs, inputs + 8};
  std::memcpy(blob.data(), header, sizeof(header));
  std::memcpy(blob.data(), "BSRP", 4);
  return blob;
}

// A tensor with memory of its own.
struct Map {
  Map(int channels, int height, int width, const Order& order, ScalarType type = ScalarType::Float,
      TensorShapeDynamism dynamism = TensorShapeDynamism::DYNAMIC_BOUND)
      : sizes{1, channels, height, width}, data(size_t(channels) * height * width * 2) {
    StridesType stride = 1;
    for (int i = 3; i >= 0; --i) {
      dim_order[i] = DimOrderType(order[i]);
      strides[order[i]] = stride;
      stride *= sizes[order[i]];
    }
    impl = std::make_unique<TensorImpl>(type, 4, sizes, data.data(), dim_order, strides, dynamism);
    value = et::EValue(Tensor(impl.get()));
  }
  float& at(int c, int h, int w) { return data[c * strides[1] + h * strides[2] + w * strides[3]]; }

  SizesType sizes[4];
  DimOrderType dim_order[4];
  StridesType strides[4];
  std::vector<float> data;
  std::unique_ptr<TensorImpl> impl;
  et::EValue value;
};

void count_free(void* context, void*, size_t) { ++*static_cast<int*>(context); }

class BackendTest : public testing::Test {
 protected:
  void SetUp() override {
    backend = et::get_backend_class(kBackend);
    ASSERT_NE(backend, nullptr);
  }
  void TearDown() override {
    ASSERT_EQ(set_kernel("auto"), Error::Ok);
    for (et::DelegateHandle* handle : handles) backend->destroy(handle);
  }

  Error set_kernel(const char* name) {
    et::BackendOptions<1> options;
    options.set_option("kernel", name);
    return et::set_option(kBackend, options.view());
  }

  et::Result<et::DelegateHandle*> load(const Bytes& blob, et::Span<const et::BackendOption> specs = {}) {
    uint8_t* copy = new uint8_t[blob.size()];
    std::memcpy(copy, blob.data(), blob.size());
    int freed = 0;
    et::FreeableBuffer buffer(copy, blob.size(), count_free, &freed);
    et::BackendInitContext context(nullptr, nullptr, "forward", nullptr, specs);
    auto handle = backend->init(context, &buffer, {});
    EXPECT_EQ(freed, wanted_free);
    delete[] copy;  // whatever the backend still read of it would be found by a sanitizer
    if (handle.ok()) handles.push_back(handle.get());
    return handle;
  }

  Error run(et::DelegateHandle* handle, std::vector<Map*> maps) {
    std::vector<et::EValue*> args;
    for (Map* map : maps) args.push_back(&map->value);
    et::BackendExecutionContext context;
    return backend->execute(context, handle, {args.data(), args.size()});
  }

  et::BackendInterface* backend = nullptr;
  std::vector<et::DelegateHandle*> handles;
  int wanted_free = 1;
};

TEST_F(BackendTest, LoadsAProgramAndFreesItsBytes) { EXPECT_TRUE(load(add_program()).ok()); }

TEST_F(BackendTest, RefusesProgramsThatDoNotFit) {
  const uint32_t newer = 3;  // than this build reads
  EXPECT_EQ(load(add_program(newer)).error(), Error::DelegateInvalidCompatibility);
  EXPECT_EQ(load({}).error(), Error::DelegateInvalidCompatibility);
  Bytes flipped = add_program();
  flipped[70] ^= 1;
  EXPECT_EQ(load(flipped).error(), Error::DelegateInvalidCompatibility);
  for (size_t size = 1; size < add_program().size(); size += 5) {
    Bytes cut = add_program();
    cut.resize(size);
    EXPECT_EQ(load(cut).error(), Error::DelegateInvalidCompatibility) << size;
  }
}

TEST_F(BackendTest, KernelByOption) {
  EXPECT_EQ(set_kernel("portable"), Error::Ok);
  EXPECT_TRUE(load(add_program()).ok());
  EXPECT_EQ(set_kernel("sse2"), Error::InvalidArgument);
  et::BackendOptions<1> unknown, number;
  unknown.set_option("colour", "red");
  EXPECT_EQ(et::set_option(kBackend, unknown.view()), Error::InvalidArgument);
  number.set_option("kernel", 3);
  EXPECT_EQ(et::set_option(kBackend, number.view()), Error::InvalidArgument);
}

TEST_F(BackendTest, KernelByLoadOptionComesFirst) {
  wanted_free = 0;  // refused before the program is looked at; its owner frees it
  et::BackendOptions<1> nonsense, number, portable;
  nonsense.set_option("kernel", "nonsense");
  number.set_option("kernel", 3);
  const auto specs = [](et::BackendOptions<1>& options) {
    return et::Span<const et::BackendOption>(options.view().data(), options.view().size());
  };
  EXPECT_EQ(load(add_program(), specs(nonsense)).error(), Error::InvalidArgument);
  EXPECT_EQ(load(add_program(), specs(number)).error(), Error::InvalidArgument);
  wanted_free = 1;
#if defined(__aarch64__)
  ASSERT_EQ(set_kernel("avx2"), Error::Ok);
#else
  ASSERT_EQ(set_kernel("neon"), Error::Ok);
#endif
  EXPECT_EQ(load(add_program()).error(), Error::NotSupported);
  portable.set_option("kernel", "portable");
  EXPECT_TRUE(load(add_program(), specs(portable)).ok());
}

TEST_F(BackendTest, EveryMixOfLayouts) {
  et::DelegateHandle* handle = load(add_program()).get();
  for (const Order& first : {kNchw, kNhwc})
    for (const Order& second : {kNchw, kNhwc})
      for (const Order& out : {kNchw, kNhwc}) {
        Map a(kChannels, 3, 5, first), b(kChannels, 3, 5, second), y(kChannels, 3, 5, out);
        for (int c = 0; c < kChannels; ++c)
          for (int h = 0; h < 3; ++h)
            for (int w = 0; w < 5; ++w) {
              a.at(c, h, w) = float(100 * c + 10 * h + w);
              b.at(c, h, w) = 0.5f;
            }
        ASSERT_EQ(run(handle, {&a, &b, &y}), Error::Ok);
        for (int c = 0; c < kChannels; ++c)
          for (int h = 0; h < 3; ++h)
            for (int w = 0; w < 5; ++w) EXPECT_EQ(y.at(c, h, w), float(100 * c + 10 * h + w) + 0.5f);
      }
}

TEST_F(BackendTest, ResizesItsOutputWithinItsCapacity) {
  et::DelegateHandle* handle = load(add_program()).get();
  Map y(kChannels, 4, 4, kNhwc);
  for (const auto& [height, width] : {std::array{2, 3}, std::array{4, 4}, std::array{1, 16}, std::array{1, 1}}) {
    Map a(kChannels, height, width, kNhwc), b(kChannels, height, width, kNhwc);
    ASSERT_EQ(run(handle, {&a, &b, &y}), Error::Ok);
    EXPECT_EQ(y.impl->size(2), height);
    EXPECT_EQ(y.impl->size(3), width);
  }
  Map a(kChannels, 4, 5, kNhwc), b(kChannels, 4, 5, kNhwc);
  EXPECT_NE(run(handle, {&a, &b, &y}), Error::Ok);
}

TEST_F(BackendTest, RefusesTensorsThatDoNotFit) {
  et::DelegateHandle* handle = load(add_program()).get();
  Map a(kChannels, 3, 5, kNhwc), b(kChannels, 3, 5, kNhwc), y(kChannels, 3, 5, kNhwc);
  Map columns_first(kChannels, 3, 5, kNcwh), integers(kChannels, 3, 5, kNhwc, ScalarType::Int);
  Map other_channels(kChannels + 1, 3, 5, kNhwc), other_size(kChannels, 4, 5, kNhwc);
  for (Map* wrong : {&columns_first, &integers, &other_channels, &other_size}) {
    EXPECT_EQ(run(handle, {&a, wrong, &y}), Error::InvalidArgument);
  }
  EXPECT_EQ(run(handle, {&a, &b, &columns_first}), Error::InvalidArgument);
  EXPECT_EQ(run(handle, {&a, &b, &integers}), Error::InvalidArgument);
  EXPECT_EQ(run(handle, {&a, &b}), Error::InvalidArgument);
  EXPECT_EQ(run(handle, {&a, &b, &y, &y}), Error::InvalidArgument);
  Map number(1, 1, 1, kNchw);
  number.value = et::EValue(int64_t(3));
  EXPECT_EQ(run(handle, {&a, &number, &y}), Error::InvalidArgument);
  EXPECT_EQ(run(handle, {&a, &b, &y}), Error::Ok);  // and it still works
}

}  // namespace

int main(int argc, char** argv) {
  et::runtime_init();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
