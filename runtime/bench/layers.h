// Programs of one layer with random numbers in them, which benchmarks run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "bitsr/program.h"

namespace bitsr_bench {

struct DestroyProgram {
  void operator()(bitsr::Program* program) const { bitsr::Program::destroy(program); }
};
using ProgramPointer = std::unique_ptr<bitsr::Program, DestroyProgram>;

struct LayerShape {
  int channels;
  int64_t height, width;
  bool gated;
};

// What the program does when a call of the library fails: says why, and ends.
void stop(const bitsr::Status& status);

// A binary 3x3 layer of as many output channels, with scale, shift, residual and PReLU; `gated`: with a channel gate
// and a 3x3 spatial gate.
ProgramPointer make_binary_layer(const LayerShape& shape, bitsr::Isa isa);

// The numbers of a convolution of levels in [-negative, positive]; its weights reach +-weight, a map's 1 is `one`
// levels.
struct QuantizedRanges {
  int negative, positive, one, weight;
};

// A 3x3 convolution.
ProgramPointer make_quantized_layer(int channels, int out_channels, const QuantizedRanges& ranges, bitsr::Isa isa);

struct FreeMemory {
  void operator()(float* memory) const { std::free(memory); }
};
using Map = std::unique_ptr<float[], FreeMemory>;

// Values in [-1, 1], aligned as tensors of the frameworks are.
Map make_map(size_t count);

}  // namespace bitsr_bench
