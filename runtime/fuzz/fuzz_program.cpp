// The program blob: any bytes give a program or a Status, and a program that loads runs, or refuses its inputs.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "bitsr/program.h"

namespace {

using bitsr::Program;
using bitsr::Shape;
using bitsr::TensorView;

constexpr size_t kHeaderBytes = 64;
constexpr uint32_t kBytesAt = 8, kCrcAt = 12;
constexpr int64_t kSide = 5, kMostValues = 1 << 16;
constexpr int32_t kMostOps = 64;

// Makes length and checksum right, so that the checks behind them are reached.
void seal(std::vector<uint8_t>* blob) {
  if (blob->size() < kHeaderBytes) return;
  uint32_t crc = ~0u;
  for (size_t i = kHeaderBytes; i < blob->size(); ++i) {
    crc ^= (*blob)[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  crc = ~crc;
  const auto size = static_cast<uint32_t>(blob->size());
  std::memcpy(blob->data() + kBytesAt, &size, 4);
  std::memcpy(blob->data() + kCrcAt, &crc, 4);
}

// Pixels in 8 bits take a quarter of the memory that is there for floats: what is written behind them would go unseen,
// so they are at its end.
bool add_view(const Shape& s, bool pixels, std::vector<std::vector<float>>* memory, TensorView* view) {
  const int64_t count = s.n * s.c * s.h * s.w;
  if (count > kMostValues) return false;  // it would only be slow
  memory->emplace_back(static_cast<size_t>(count), 0.25f);
  std::vector<float>& floats = memory->back();
  *view = {floats.data(), s.n, s.c, s.h, s.w, bitsr::Layout::nchw};
  if (pixels)
    *view = {nullptr,
             s.n,
             s.c,
             s.h,
             s.w,
             bitsr::Layout::nhwc,
             reinterpret_cast<uint8_t*>(floats.data() + floats.size()) - count};
  return true;
}

void run(Program* program) {
  const auto inputs = static_cast<size_t>(program->input_count()),
             outputs = static_cast<size_t>(program->output_count());
  if (program->op_count() > kMostOps) return;
  std::vector<std::vector<float>> memory;
  memory.reserve(inputs + outputs);
  std::vector<TensorView> in(inputs), out(outputs);
  std::vector<Shape> shapes(outputs);
  for (size_t i = 0; i < inputs; ++i) {
    Shape shape;
    if (!program->input_shape(static_cast<int32_t>(i), 1, kSide, kSide, &shape).ok() ||
        !add_view(shape, program->input_is_pixels(static_cast<int32_t>(i)), &memory, &in[i]))
      return;
  }
  if (!program->output_shapes(in.data(), shapes.data()).ok()) return;
  for (size_t i = 0; i < outputs; ++i)
    if (!add_view(shapes[i], program->output_is_pixels(static_cast<int32_t>(i)), &memory, &out[i])) return;
  program->run(in.data(), out.data());
}

void load(const std::vector<uint8_t>& blob) {
  Program* program = nullptr;
  const bitsr::Status status = Program::load(blob.data(), blob.size(), bitsr::Isa::portable, &program);
  if (status.ok() != (program != nullptr) || (!status.ok() && status.message[0] == '\0')) std::abort();
  if (program != nullptr) run(program);
  Program::destroy(program);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> blob(data, data + size);
  load(blob);
  seal(&blob);
  load(blob);
  return 0;
}
