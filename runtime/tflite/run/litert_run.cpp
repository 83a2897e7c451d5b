// Runs a .tflite through LiteRT's C API (CompiledModel) with our delegate as an accelerator: a check on devices, and an
// example of how an application in C does it. libLiteRt.so and the delegate are opened at run time, so that building it
// needs neither.
//
// usage: bitsr_litert_run <libLiteRt.so> <libbitsr_tflite.so> <model> <height> <width> <channels> <in> <out>
// <in> and <out> are raw float32 (1, H, W, C).
//
// The declarations are those of LiteRT 2.3; they change between minor versions.

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace {

using Status = int;
using Handle = void*;
constexpr int kCpu = 1;
constexpr int kHostMemory = 1;
constexpr int kFloat32 = 1;
constexpr int kRead = 0, kWrite = 1;

struct Layout {
  unsigned rank : 7;
  unsigned has_strides : 1;
  int32_t dimensions[8];
  uint32_t strides[8];
};
struct TensorType {
  int element;
  Layout layout;
};
struct Version {
  int major, minor, patch;
};

void* library;
void* delegate_library;

template <typename Function>
Function* function(void* from, const char* name) {
  void* found = dlsym(from, name);
  if (found == nullptr) {
    std::fprintf(stderr, "there is no %s: %s\n", name, dlerror());
    std::exit(1);
  }
  return reinterpret_cast<Function*>(found);
}

// Calls a function of LiteRT by name and ends the program when it fails.
template <typename... Args>
void call(const char* name, Args... args) {
  const Status status = function<Status(Args...)>(library, name)(args...);
  if (status == 0) return;
  std::fprintf(stderr, "%s failed with status %d\n", name, status);
  std::exit(1);
}

void* open(const char* path) {
  void* opened = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (opened == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    std::exit(1);
  }
  return opened;
}

Status accelerator_name(Handle, const char** name) {
  *name = "bitsr";
  return 0;
}

Status accelerator_version(Handle, Version* version) {
  *version = {1, 0, 0};
  return 0;
}

Status accelerator_hardware(Handle, int* hardware) {
  *hardware = kCpu;
  return 0;
}

void report(const char* message) { std::fprintf(stderr, "%s\n", message); }

void destroy_delegate(void* delegate) {
  function<void(void*)>(delegate_library, "tflite_plugin_destroy_delegate")(delegate);
}

Status make_delegate(void*, Handle, Handle, Handle, Handle* wrapper) {
  using Create = void*(const char* const*, const char* const*, size_t, void (*)(const char*));
  const char* key = "verbose";
  const char* value = "1";
  void* delegate = function<Create>(delegate_library, "tflite_plugin_create_delegate")(&key, &value, 1, report);
  if (delegate == nullptr) return 1;
  call("LiteRtWrapDelegate", delegate, destroy_delegate, wrapper);
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 9) {
    std::fprintf(stderr, "usage: %s libLiteRt.so libbitsr_tflite.so model height width channels in out\n", arguments[0]);
    return 2;
  }
  library = open(arguments[1]);
  delegate_library = open(arguments[2]);
  const int sides[4] = {1, std::atoi(arguments[4]), std::atoi(arguments[5]), std::atoi(arguments[6])};

  Handle environment, model, options, accelerator, compiled;
  call("LiteRtCreateEnvironment", 0, static_cast<const void*>(nullptr), &environment);
  call("LiteRtCreateModelFromFile", environment, static_cast<const char*>(arguments[3]), &model);
  call("LiteRtCreateOptions", &options);
  call("LiteRtSetOptionsHardwareAccelerators", options, kCpu);
  call("LiteRtCreateAccelerator", &accelerator);
  call("LiteRtSetAcceleratorGetName", accelerator, accelerator_name);
  call("LiteRtSetAcceleratorGetVersion", accelerator, accelerator_version);
  call("LiteRtSetAcceleratorGetHardwareSupport", accelerator, accelerator_hardware);
  call("LiteRtSetDelegateFunction", accelerator, make_delegate);
  call("LiteRtRegisterAccelerator", environment, accelerator, static_cast<void*>(nullptr),
       static_cast<void (*)(void*)>(nullptr));
  call("LiteRtCreateCompiledModel", environment, model, options, &compiled);

  TensorType in_type{kFloat32, {}}, out_type{kFloat32, {}};
  in_type.layout.rank = 4;
  for (int i = 0; i < 4; ++i) in_type.layout.dimensions[i] = sides[i];
  call("LiteRtCompiledModelResizeInputTensor", compiled, size_t(0), size_t(0), &sides[0], size_t(4));
  call("LiteRtGetCompiledModelOutputTensorLayouts", compiled, size_t(0), size_t(1), &out_type.layout, true);
  const auto values = [](const Layout& layout) {
    size_t product = 1;
    for (unsigned i = 0; i < layout.rank; ++i) product *= static_cast<size_t>(layout.dimensions[i]);
    return product;
  };
  std::vector<float> in(values(in_type.layout)), out(values(out_type.layout));
  const auto in_bytes = static_cast<std::streamsize>(in.size() * sizeof(float));
  if (!std::ifstream(arguments[7], std::ios::binary).read(reinterpret_cast<char*>(in.data()), in_bytes)) {
    std::fprintf(stderr, "cannot read %lld bytes from %s\n", static_cast<long long>(in_bytes), arguments[7]);
    return 1;
  }

  Handle in_buffer, out_buffer;
  void* memory = nullptr;
  const auto* in_type_pointer = &in_type;
  const auto* out_type_pointer = &out_type;
  call("LiteRtCreateManagedTensorBuffer", environment, kHostMemory, in_type_pointer, in.size() * sizeof(float), &in_buffer);
  call("LiteRtCreateManagedTensorBuffer", environment, kHostMemory, out_type_pointer, out.size() * sizeof(float),
       &out_buffer);
  call("LiteRtLockTensorBuffer", in_buffer, &memory, kWrite);
  for (size_t i = 0; i < in.size(); ++i) static_cast<float*>(memory)[i] = in[i];
  call("LiteRtUnlockTensorBuffer", in_buffer);
  call("LiteRtRunCompiledModel", compiled, size_t(0), size_t(1), &in_buffer, size_t(1), &out_buffer);
  call("LiteRtLockTensorBuffer", out_buffer, &memory, kRead);
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float*>(memory)[i];
  call("LiteRtUnlockTensorBuffer", out_buffer);

  std::ofstream file(arguments[8], std::ios::binary);
  file.write(reinterpret_cast<const char*>(out.data()), static_cast<std::streamsize>(out.size() * sizeof(float)));
  if (!file.flush()) {
    std::fprintf(stderr, "cannot write %s\n", arguments[8]);
    return 1;
  }
  const int32_t* dims = out_type.layout.dimensions;
  std::printf("%d %d %d %d\n", dims[0], dims[1], dims[2], dims[3]);
  return 0;
}
