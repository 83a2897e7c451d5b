// Programs in artifacts: any bytes give a network of ours, the name of what is none, or a Status. The first byte of the
// input chooses the format; the rest is the file.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "core_program.h"

namespace {

using namespace bitsr;

constexpr int64_t kSide = 5, kMostValues = 1 << 16;
constexpr int32_t kMostOps = 64;

void check(bool condition) {
  if (!condition) std::abort();
}

void run(const CoreProgram& found) {
  Program& program = *found.program;
  check(program.input_count() == 1 && program.output_count() == 1 && found.input.n >= 1 && found.input.c >= 1);
  if (program.op_count() > kMostOps || found.input.n > 1 || found.input.c * kSide * kSide > kMostValues) return;
  const auto count = static_cast<size_t>(found.input.c * kSide * kSide);
  std::vector<float> in(count, 0.25f);
  std::vector<uint8_t> levels(count, 64);
  TensorView given = {in.data(), 1, found.input.c, kSide, kSide, Layout::nchw};
  if (program.input_is_pixels(0)) given = {nullptr, 1, found.input.c, kSide, kSide, Layout::nhwc, levels.data()};
  Shape shape{};
  if (!program.output_shapes(&given, &shape).ok() || shape.c * shape.h * shape.w > kMostValues) return;
  std::vector<float> out(static_cast<size_t>(shape.c * shape.h * shape.w));
  std::vector<uint8_t> made(out.size());
  TensorView taken = {out.data(), 1, shape.c, shape.h, shape.w, Layout::nchw};
  if (program.output_is_pixels(0)) taken = {nullptr, 1, shape.c, shape.h, shape.w, Layout::nhwc, made.data()};
  program.run(&given, &taken);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // Memory of just this size, so that every read behind it is seen.
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[size - 1]);
  for (size_t i = 1; i < size; ++i) exact[i - 1] = data[i];
  CoreProgram found;
  const Status status = data[0] % 2 == 0 ? load_tflite_program(exact.get(), size - 1, Isa::portable, &found)
                                         : load_pte_program(exact.get(), size - 1, Isa::portable, &found);
  if (!status.ok()) {
    check(status.message[0] != '\0' && found.program == nullptr);
    return 0;
  }
  check((found.program != nullptr) == found.foreign.empty());
  if (found.program != nullptr) run(found);
  return 0;
}
