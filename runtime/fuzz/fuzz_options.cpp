// The options of a TFLite custom op (FlexBuffers): any bytes are a map of integers or are refused.
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <memory>

#include "options.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Memory of just this size, so that every read behind it is seen.
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[size]);
  for (size_t i = 0; i < size; ++i) exact[i] = data[i];
  bitsr::tflite::OptionMap options;
  const bool opened = options.open(exact.get(), size);
  for (const char* name : {"version", "operands", "results", "out_channels", "kernel_size", "planes", "factor", ""}) {
    int64_t value = 0;
    if (options.find(name, &value) && !opened) std::abort();
  }
  return 0;
}
