// Times of single layers in one thread, as JSON: bitsr_layer_bench [rounds [isa...]]
//
// A layer is fp32 in, fp32 out, NHWC: packing of the signs, the 3x3 binary convolution, scale, shift, residual and
// PReLU. "gated" adds a channel gate (threshold shift and gain) and a 3x3 spatial gate, as EBSR-light has them.
// Instruction sets take turns in every round, so that a busy machine slows all of them: compare the ratios. "cpu" is
// the thread's processor time, which leaves out what other programs took.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <random>
#include <vector>

#include "bitsr/builder.h"
#include "bitsr/program.h"

namespace {

using bitsr::Isa;

struct Shape {
  int channels;
  int64_t height, width;
  bool gated;
};

struct Destroy {
  void operator()(bitsr::Program* program) const { bitsr::Program::destroy(program); }
};
using ProgramPointer = std::unique_ptr<bitsr::Program, Destroy>;

// Numbers of an op, kept until the program is built.
class Constants {
 public:
  bitsr::Constant reals(size_t count) {
    floats_.emplace_back(count);
    for (float& value : floats_.back()) value = static_cast<float>(engine_() % 2001) / 1000.0f - 1.0f;
    return {floats_.back().data(), count * sizeof(float)};
  }
  bitsr::Constant bits(size_t words) {
    words_.emplace_back(words);
    for (uint64_t& word : words_.back()) word = engine_();
    return {words_.back().data(), words * sizeof(uint64_t)};
  }

 private:
  std::mt19937_64 engine_{1};
  std::vector<std::vector<float>> floats_;
  std::vector<std::vector<uint64_t>> words_;
};

void stop(const bitsr::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "bitsr_layer_bench: %s\n", status.message);
  std::exit(1);
}

ProgramPointer make_layer(const Shape& shape, Isa isa) {
  using bitsr::kAbsent;
  using bitsr::OpKind;
  using bitsr::ValueKind;
  enum { kX, kY, kShift, kGain, kSpatial };
  const int c = shape.channels, hidden = c / 16;
  const auto n = static_cast<size_t>(c);
  Constants constants;
  bitsr::ProgramBuilder builder;
  bool ok = builder.add_value({ValueKind::map, c, 1, 1}) && builder.add_value({ValueKind::map, c, 1, 1}) &&
            builder.add_input(kX) && builder.add_output(kY);
  if (shape.gated) {
    ok = ok && builder.add_value({ValueKind::vector, c, 1, 1}) && builder.add_value({ValueKind::vector, c, 1, 1}) &&
         builder.add_value({ValueKind::plane, 1, 1, 1});
    const auto r = static_cast<size_t>(hidden);
    bitsr::OpSpec gate = {OpKind::channel_gate, 1, 2, 4, 3, {kX}, {kShift, kGain}, {}, {hidden, 2 * c, c}};
    gate.constants[0] = constants.reals(r * n);
    gate.constants[1] = constants.reals(r);
    gate.constants[2] = constants.reals(2 * n * r);
    gate.constants[3] = constants.reals(2 * n);
    bitsr::OpSpec spatial = {OpKind::spatial_gate, 1, 1, 2, 1, {kX}, {kSpatial}, {}, {3}};
    spatial.constants[0] = constants.reals(9 * n);
    spatial.constants[1] = constants.reals(1);
    ok = ok && builder.add_op(gate) && builder.add_op(spatial);
  }
  bitsr::OpSpec conv = {OpKind::binary_conv2d, 5, 1, 7, 3, {kX, kAbsent, kAbsent, kAbsent, kX}, {kY}, {}, {c, 3, 1}};
  if (shape.gated) {
    conv.inputs[1] = kShift;
    conv.inputs[2] = kGain;
    conv.inputs[3] = kSpatial;
  } else {
    conv.constants[0] = constants.reals(n);
  }
  conv.constants[1] = constants.bits(n * 9 * n / 64);
  for (const int i : {2, 3, 6}) conv.constants[i] = constants.reals(n);  // scale, shift, slope
  ok = ok && builder.add_op(conv);
  bitsr::Program* program = nullptr;
  bitsr::Status no_memory;
  no_memory.code = bitsr::StatusCode::out_of_memory;
  stop(ok ? builder.finish(isa, &program) : no_memory);
  return ProgramPointer(program);
}

double now(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

// Milliseconds of every round.
struct Times {
  std::vector<double> wall, cpu;
};

void run_once(bitsr::Program* program, const bitsr::TensorView& x, const bitsr::TensorView& y, Times* times) {
  const double wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_THREAD_CPUTIME_ID);
  stop(program->run(&x, &y));
  times->wall.push_back(now(CLOCK_MONOTONIC) - wall);
  times->cpu.push_back(now(CLOCK_THREAD_CPUTIME_ID) - cpu);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

struct FreeMemory {
  void operator()(float* memory) const { std::free(memory); }
};
using Map = std::unique_ptr<float[], FreeMemory>;

// Aligned as tensors of the frameworks are.
Map make_map(size_t count) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 64, count * sizeof(float)) != 0) std::exit(1);
  auto* values = static_cast<float*>(memory);
  std::mt19937 engine(1);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(engine() % 2001) / 1000.0f - 1.0f;
  return Map(values);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 30;
  std::vector<Isa> isas;
  bool usage = rounds < 1;
  for (int i = 2; i < argc; ++i) {
    isas.push_back(Isa::automatic);
    usage = usage || !bitsr::parse_isa(argv[i], &isas.back()) || !bitsr::isa_available(isas.back());
  }
  if (usage) {
    std::fprintf(stderr, "usage: bitsr_layer_bench [rounds [isa...]]: 1 or more rounds; instruction sets of auto, %s\n",
                 bitsr::isa_names().text);
    return 2;
  }
  if (isas.empty())
    for (const Isa isa : bitsr::available_isas()) isas.push_back(isa);
  const Shape shapes[] = {{64, 128, 128, false}, {64, 180, 320, false}, {256, 128, 128, false}, {64, 128, 128, true}};
  std::printf("{\"build_type\": \"%s\", \"threads\": 1, \"rounds\": %d, \"layers\": [", BITSR_BUILD_TYPE, rounds);
  const char* separator = "";
  for (const Shape& shape : shapes) {
    const int64_t count = shape.channels * shape.height * shape.width;
    const Map in = make_map(static_cast<size_t>(count)), out = make_map(static_cast<size_t>(count));
    const bitsr::TensorView x = {in.get(), 1, shape.channels, shape.height, shape.width, bitsr::Layout::nhwc};
    const bitsr::TensorView y = {out.get(), 1, shape.channels, shape.height, shape.width, bitsr::Layout::nhwc};
    std::vector<ProgramPointer> programs;
    std::vector<Times> times(isas.size());
    for (const Isa isa : isas) {
      programs.push_back(make_layer(shape, isa));
      Times first;  // it allocates: not counted
      run_once(programs.back().get(), x, y, &first);
    }
    for (int round = 0; round < rounds; ++round)
      for (size_t k = 0; k < isas.size(); ++k) run_once(programs[k].get(), x, y, &times[k]);
    for (size_t k = 0; k < isas.size(); ++k) {
      std::printf(
          "%s\n  {\"layer\": \"3x3 %d->%d%s\", \"height\": %d, \"width\": %d, \"isa\": \"%s\", "
          "\"median_ms\": %.3f, \"median_cpu_ms\": %.3f, \"min_ms\": %.3f}",
          separator, shape.channels, shape.channels, shape.gated ? " gated" : "", static_cast<int>(shape.height),
          static_cast<int>(shape.width), bitsr::isa_name(isas[k]), median(times[k].wall), median(times[k].cpu),
          *std::min_element(times[k].wall.begin(), times[k].wall.end()));
      separator = ",";
    }
  }
  std::printf("\n]}\n");
  return 0;
}
