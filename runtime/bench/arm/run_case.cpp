// What `make bench-arm` counts the instructions of: bitsr_run_case ISA RUNS CASE HEIGHT WIDTH
//
// CASE is a layer (binary, gated, head, tail, tail2) or a .tflite of our ops alone. Counts of two runs less those of
// one are those of a run, without loading and first allocations.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core_program.h"
#include "layers.h"
#include "photo_pattern.h"

namespace {

using bitsr_bench::ProgramPointer;

ProgramPointer load(const std::string& path, bitsr::Isa isa) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  bitsr::CoreProgram found;
  bitsr_bench::stop(
      bitsr::load_tflite_program(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), isa, &found));
  if (!found.program) {
    std::fprintf(stderr, "error: %s is not made of our ops alone (%s); name another artifact\n", path.c_str(),
                 found.foreign.c_str());
    std::exit(1);
  }
  return ProgramPointer(found.program.release());
}

ProgramPointer make_case(const std::string& name, int64_t height, int64_t width, bitsr::Isa isa) {
  if (name == "binary" || name == "gated")
    return bitsr_bench::make_binary_layer({64, height, width, name == "gated"}, isa);
  if (name == "head") return bitsr_bench::make_quantized_layer(3, 64, {0, 255, 255, 32767}, isa);
  // As export/deploy has it: levels of a byte, as in nearly all parts of a photo, or of two.
  if (name == "tail") return bitsr_bench::make_quantized_layer(64, 48, {32639, 32639, 127, 127}, isa);
  if (name == "tail2") return bitsr_bench::make_quantized_layer(64, 48, {32639, 32639, 255, 127}, isa);
  return load(name, isa);
}

constexpr int64_t kPictureChannels = 3;

}  // namespace

int main(int argc, char** argv) {
  bitsr::Isa isa = bitsr::Isa::automatic;
  const bool usable = argc == 6 && bitsr::parse_isa(argv[1], &isa) && bitsr::isa_available(isa);
  const int runs = usable ? std::atoi(argv[2]) : 0;
  const int64_t height = usable ? std::atoi(argv[4]) : 0, width = usable ? std::atoi(argv[5]) : 0;
  if (runs < 1 || height < 1 || width < 1) {
    std::fprintf(stderr,
                 "usage: bitsr_run_case ISA RUNS binary|gated|head|tail|tail2|FILE.tflite HEIGHT WIDTH; ISA of %s\n",
                 bitsr::isa_names().text);
    return 2;
  }
  const ProgramPointer program = make_case(argv[3], height, width, isa);
  bitsr::Shape in, out;
  bitsr_bench::stop(program->input_shape(0, 1, height, width, &in));
  in = {1, in.c, height, width};
  const bitsr_bench::Map x = bitsr_bench::make_map(static_cast<size_t>(in.c * height * width));
  if (in.c == kPictureChannels)
    for (int64_t i = 0; i < in.c * height * width; ++i)
      x[static_cast<size_t>(i)] = bitsr::photo_pattern(i % in.c, i / in.c / width, i / in.c % width);
  const bitsr::TensorView input = {x.get(), 1, in.c, height, width, bitsr::Layout::nhwc};
  bitsr_bench::stop(program->output_shapes(&input, &out));
  const bitsr_bench::Map y = bitsr_bench::make_map(static_cast<size_t>(out.c * out.h * out.w));
  const bitsr::TensorView output = {y.get(), 1, out.c, out.h, out.w, bitsr::Layout::nhwc};
  for (int run = 0; run < runs; ++run) bitsr_bench::stop(program->run(&input, &output));
  return 0;
}
