#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "calls.h"

namespace capi = bitsr::capi;
using bitsr::ErrorKind;
using bitsr::failed;
using bitsr::Outcome;
using bitsr::Program;
using bitsr::Shape;
using bitsr::TensorView;

struct bitsr_program {
  Program* program = nullptr;
  std::mutex turn;
  ~bitsr_program() { Program::destroy(program); }
};

namespace {

Outcome views_of(const bitsr_tensor* tensors, int32_t count, int32_t expected, const char* what,
                 std::vector<TensorView>* views) {
  if (count != expected) return failed(ErrorKind::argument, "the program has %d %ss, got %d", expected, what, count);
  if (count > 0) BITSR_TRY(capi::require(tensors, "an array of tensors"));
  for (int32_t i = 0; i < count; ++i) {
    Shape shape{};
    BITSR_TRY(capi::check_tensor(tensors[i], what, i, &shape));
    const auto layout = tensors[i].layout == BITSR_NHWC ? bitsr::Layout::nhwc : bitsr::Layout::nchw;
    const bool pixels = tensors[i].dtype == BITSR_UINT8;
    views->push_back({pixels ? nullptr : static_cast<float*>(tensors[i].data), shape.n, shape.c, shape.h, shape.w,
                      layout, pixels ? static_cast<uint8_t*>(tensors[i].data) : nullptr});
  }
  return {};
}

Outcome check_number(int32_t number, int32_t count, const char* what) {
  if (number >= 0 && number < count) return {};
  return failed(ErrorKind::argument, "the program has %d %ss, asked for number %d", count, what, number);
}

// Views of all inputs whose data is not there to be read.
Outcome inputs_for(const Program& program, int64_t n, int64_t height, int64_t width, std::vector<TensorView>* views) {
  static float nothing = 0.0f;
  for (int32_t i = 0; i < program.input_count(); ++i) {
    Shape s{};
    BITSR_TRY(bitsr::from_status(program.input_shape(i, n, height, width, &s)));
    views->push_back({&nothing, s.n, s.c, s.h, s.w, bitsr::Layout::nchw});
  }
  return {};
}

void copy(const Shape& from, int64_t to[4]) {
  const int64_t sides[4] = {from.n, from.c, from.h, from.w};
  std::memcpy(to, sides, sizeof(sides));
}

}  // namespace

bitsr_status bitsr_program_load(const void* blob, size_t bytes, const char* isa_name, bitsr_program** program) {
  return capi::call([&]() -> Outcome {
    BITSR_TRY(capi::require(program, "the place of the program"));
    *program = nullptr;
    BITSR_TRY(capi::require(blob, "the blob"));
    bitsr::Isa isa = bitsr::Isa::automatic;
    BITSR_TRY(capi::parse_isa_name(isa_name, &isa));
    auto handle = std::make_unique<bitsr_program>();
    BITSR_TRY(bitsr::from_status(Program::load(blob, bytes, isa, &handle->program)));
    *program = handle.release();
    return {};
  });
}

void bitsr_program_destroy(bitsr_program* program) { delete program; }

int32_t bitsr_program_input_count(const bitsr_program* program) {
  return program == nullptr ? 0 : program->program->input_count();
}

int32_t bitsr_program_output_count(const bitsr_program* program) {
  return program == nullptr ? 0 : program->program->output_count();
}

bitsr_status bitsr_program_input_shape(const bitsr_program* program, int32_t input, int64_t n, int64_t height,
                                       int64_t width, int64_t shape[4]) {
  return capi::call([&]() -> Outcome {
    BITSR_TRY(capi::require(program, "the program"));
    BITSR_TRY(capi::require(shape, "the place of the shape"));
    BITSR_TRY(check_number(input, program->program->input_count(), "input"));
    Shape found{};
    BITSR_TRY(bitsr::from_status(program->program->input_shape(input, n, height, width, &found)));
    copy(found, shape);
    return {};
  });
}

bitsr_status bitsr_program_output_shape(const bitsr_program* program, int32_t output, int64_t n, int64_t height,
                                        int64_t width, int64_t shape[4]) {
  return capi::call([&]() -> Outcome {
    BITSR_TRY(capi::require(program, "the program"));
    BITSR_TRY(capi::require(shape, "the place of the shape"));
    const Program& own = *program->program;
    BITSR_TRY(check_number(output, own.output_count(), "output"));
    std::vector<TensorView> inputs;
    BITSR_TRY(inputs_for(own, n, height, width, &inputs));
    std::vector<Shape> shapes(static_cast<size_t>(own.output_count()));
    BITSR_TRY(bitsr::from_status(own.output_shapes(inputs.data(), shapes.data())));
    copy(shapes[static_cast<size_t>(output)], shape);
    return {};
  });
}

bitsr_status bitsr_program_run(bitsr_program* program, const bitsr_tensor* inputs, int32_t input_count,
                               const bitsr_tensor* outputs, int32_t output_count) {
  return capi::call([&]() -> Outcome {
    BITSR_TRY(capi::require(program, "the program"));
    Program& own = *program->program;
    std::vector<TensorView> in, out;
    BITSR_TRY(views_of(inputs, input_count, own.input_count(), "input", &in));
    BITSR_TRY(views_of(outputs, output_count, own.output_count(), "output", &out));
    const std::lock_guard<std::mutex> turn(program->turn);
    return bitsr::from_status(own.run(in.data(), out.data()));
  });
}
