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
#include <vector>

#include "bitsr/program.h"
#include "layers.h"

namespace {

using bitsr::Isa;
using bitsr_bench::LayerShape;
using bitsr_bench::make_binary_layer;
using bitsr_bench::make_map;
using bitsr_bench::Map;
using bitsr_bench::ProgramPointer;
using bitsr_bench::stop;

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
  const LayerShape shapes[] = {
      {64, 128, 128, false}, {64, 180, 320, false}, {256, 128, 128, false}, {64, 128, 128, true}};
  std::printf("{\"build_type\": \"%s\", \"threads\": 1, \"rounds\": %d, \"layers\": [", BITSR_BUILD_TYPE, rounds);
  const char* separator = "";
  for (const LayerShape& shape : shapes) {
    const int64_t count = shape.channels * shape.height * shape.width;
    const Map in = make_map(static_cast<size_t>(count)), out = make_map(static_cast<size_t>(count));
    const bitsr::TensorView x = {in.get(), 1, shape.channels, shape.height, shape.width, bitsr::Layout::nhwc};
    const bitsr::TensorView y = {out.get(), 1, shape.channels, shape.height, shape.width, bitsr::Layout::nhwc};
    std::vector<ProgramPointer> programs;
    std::vector<Times> times(isas.size());
    for (const Isa isa : isas) {
      programs.push_back(make_binary_layer(shape, isa));
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
