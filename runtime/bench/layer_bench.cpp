// Times layers on random data, one JSON object a line:
//   {"layer": ..., "layers": ..., "width": ..., "height": ..., "kernel": ..., "threads": ..., "median_ms": ..., "min_ms": ...,
//    "runs": ..., "ops_ms": {"0 channel_gate": ..., ...}}
// Everything from float map to float map is included: packing, scale, residual. Usage: bitsr_layer_bench [seconds per case]
// [part of a layer's name]. BITSR_KERNEL limits it to one kernel.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "bitsr/builder.h"

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

uint64_t next_random(uint64_t* state) {
  *state += 0x9e3779b97f4a7c15u;
  uint64_t z = *state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

std::vector<float> random_floats(size_t count, uint64_t* state) {
  std::vector<float> values(count);
  for (float& value : values)
    value = static_cast<float>(static_cast<int64_t>(next_random(state) >> 40) - (1 << 23)) * (1.0f / (1 << 23));
  return values;
}

class AlignedFloats {
 public:
  explicit AlignedFloats(size_t count)
      : data_(static_cast<float*>(std::aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64))) {}
  ~AlignedFloats() { std::free(data_); }
  AlignedFloats(const AlignedFloats&) = delete;
  AlignedFloats& operator=(const AlignedFloats&) = delete;
  float* get() const { return data_; }

 private:
  float* data_;
};

struct Case {
  const char* name;
  int32_t channels;
  int64_t width, height;
  int32_t kernel;
  bool gates;  // a channel gate and a spatial gate in front, as in EBSR
  int layers;  // one after the other
};

constexpr Case kCases[] = {
    {"conv3x3_64", 64, 128, 128, 3, false, 1},   {"conv3x3_64", 64, 320, 180, 3, false, 1},
    {"conv3x3_256", 256, 128, 128, 3, false, 1}, {"conv1x1_64", 64, 128, 128, 1, false, 1},
    {"gated3x3_64", 64, 128, 128, 3, true, 1},   {"gated3x3_64", 64, 320, 180, 3, true, 1},
    {"conv3x3_64", 64, 128, 128, 3, false, 8},   {"gated3x3_64", 64, 128, 128, 3, true, 8},
};

bitsr::Constant floats(const std::vector<float>& v) { return {v.data(), v.size() * sizeof(float)}; }

// Layers of 3x3 or 1x1 with scale, shift and residual; with gates a layer's threshold and gains are computed from its
// input. Every layer has the same constants.
bitsr::Status build(const Case& c, bitsr::Kernel kernel, bitsr::Program** program) {
  using bitsr::kAbsent;
  using bitsr::OpKind;
  using bitsr::ValueKind;
  uint64_t state = 1;
  const int32_t hidden = std::max(1, c.channels / 16);
  const auto channels = static_cast<size_t>(c.channels);
  std::vector<uint64_t> bits(channels * c.kernel * c.kernel * ((channels + 63) / 64));
  for (uint64_t& word : bits) word = next_random(&state);
  std::vector<float> threshold = random_floats(channels, &state), scale = random_floats(channels, &state);
  std::vector<float> shift = random_floats(channels, &state), w1 = random_floats(hidden * channels, &state);
  std::vector<float> b1 = random_floats(hidden, &state), w2 = random_floats(2 * channels * hidden, &state);
  std::vector<float> b2 = random_floats(2 * channels, &state), spatial = random_floats(9 * channels, &state), bias = {0.1f};
  for (float& value : scale) value *= 0.01f;

  bitsr::ProgramBuilder builder;
  int32_t values = 0;
  bool ok = true;
  const auto add_value = [&](ValueKind kind, int32_t value_channels) {
    ok = ok && builder.add_value({kind, value_channels, 1, 1});
    return values++;
  };
  int32_t x = add_value(ValueKind::map, c.channels);
  ok = ok && builder.add_input(x);
  for (int layer = 0; layer < c.layers; ++layer) {
    bitsr::OpSpec conv = {OpKind::binary_conv2d, 5, 1, 7, 3, {x, kAbsent, kAbsent, kAbsent, x}, {}, {}, {}};
    if (c.gates) {
      const int32_t linear = add_value(ValueKind::vector, c.channels), gain = add_value(ValueKind::vector, c.channels);
      const int32_t plane = add_value(ValueKind::plane, 1);
      ok = ok &&
           builder.add_op({OpKind::channel_gate, 1, 2, 4, 3, {x}, {linear, gain},
                           {floats(w1), floats(b1), floats(w2), floats(b2)}, {hidden, 2 * c.channels, c.channels}}) &&
           builder.add_op({OpKind::spatial_gate, 1, 1, 2, 1, {x}, {plane, kAbsent}, {floats(spatial), floats(bias)}, {3}});
      conv.inputs[1] = linear;
      conv.inputs[2] = gain;
      conv.inputs[3] = plane;
    } else {
      conv.constants[0] = floats(threshold);
    }
    conv.constants[1] = {bits.data(), bits.size() * sizeof(uint64_t)};
    conv.constants[2] = floats(scale);
    conv.constants[3] = floats(shift);
    conv.attributes[0] = c.channels;
    conv.attributes[1] = c.kernel;
    conv.attributes[2] = 1;
    x = add_value(ValueKind::map, c.channels);
    conv.outputs[0] = x;
    conv.outputs[1] = kAbsent;
    ok = ok && builder.add_op(conv);
  }
  ok = ok && builder.add_output(x);
  if (!ok) return {bitsr::StatusCode::out_of_memory, "out of memory"};
  return builder.finish(kernel, program);
}

struct OpTimes {
  std::vector<std::string> names;
  std::vector<std::vector<double>> times;
  Clock::time_point start;
};

void op_begin(void* context, int32_t op, const char* name) {
  auto* ops = static_cast<OpTimes*>(context);
  if (ops->names.size() <= static_cast<size_t>(op)) {
    ops->names.push_back(std::to_string(op) + " " + name);
    ops->times.emplace_back();
  }
  ops->start = Clock::now();
}

void op_end(void* context, int32_t op) {
  auto* ops = static_cast<OpTimes*>(context);
  ops->times[static_cast<size_t>(op)].push_back(milliseconds(Clock::now() - ops->start));
}

// One range a thread: starting the threads is part of the time.
void run_threads(void* context, int64_t count, void (*task)(void*, int64_t, int64_t), void* arg) {
  const int64_t threads = std::min<int64_t>(*static_cast<const int*>(context), count);
  std::vector<std::thread> pool;
  for (int64_t i = 1; i < threads; ++i) pool.emplace_back(task, arg, count * i / threads, count * (i + 1) / threads);
  task(arg, 0, count / threads);
  for (std::thread& thread : pool) thread.join();
}

bool measure(const Case& c, bitsr::Kernel kernel, int threads, double seconds) {
  bitsr::Program* program = nullptr;
  bitsr::Status status = build(c, kernel, &program);
  uint64_t state = 2;
  const std::vector<float> values = random_floats(static_cast<size_t>(c.channels * c.width * c.height), &state);
  // Aligned as the maps inside a program are.
  const AlignedFloats in(values.size()), out(values.size());
  std::copy(values.begin(), values.end(), in.get());
  const bitsr::TensorView x = {in.get(), 1, c.channels, c.height, c.width, bitsr::Layout::nhwc};
  const bitsr::TensorView y = {out.get(), 1, c.channels, c.height, c.width, bitsr::Layout::nhwc};
  bitsr::Parallel parallel;
  parallel.context = &threads;
  if (threads > 1) parallel.run = run_threads;
  OpTimes ops;
  const bitsr::Profiler profiler = {&ops, op_begin, op_end};
  for (int i = 0; i < 3 && status.ok(); ++i) status = program->run(&x, &y, parallel, {});
  std::vector<double> times;
  const Clock::time_point start = Clock::now();
  while (status.ok() && (times.size() < 5 || milliseconds(Clock::now() - start) < 1000 * seconds)) {
    const Clock::time_point begin = Clock::now();
    status = program->run(&x, &y, parallel, profiler);
    times.push_back(milliseconds(Clock::now() - begin));
  }
  bitsr::Program::destroy(program);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.message);
    return false;
  }
  std::printf("{\"layer\": \"%s\", \"layers\": %d, \"width\": %d, \"height\": %d, \"kernel\": \"%s\", \"threads\": %d, \"median_ms\": %.3f, "
              "\"min_ms\": %.3f, \"runs\": %d, \"ops_ms\": {",
              c.name, c.layers, static_cast<int>(c.width), static_cast<int>(c.height), bitsr::kernel_name(kernel), threads,
              median(times), *std::min_element(times.begin(), times.end()), static_cast<int>(times.size()));
  for (size_t i = 0; i < ops.names.size(); ++i)
    std::printf("%s\"%s\": %.3f", i ? ", " : "", ops.names[i].c_str(), median(ops.times[i]));
  std::printf("}}\n");
  std::fflush(stdout);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 1.0;
  const char* wanted = argc > 2 ? argv[2] : "";
  const char* only = std::getenv("BITSR_KERNEL");
  if (seconds <= 0) {
    std::fprintf(stderr, "expected a number of seconds above 0, got '%s'\n", argv[1]);
    return 2;
  }
  constexpr bitsr::Kernel kKernels[] = {bitsr::Kernel::portable, bitsr::Kernel::avx2, bitsr::Kernel::avx512,
                                        bitsr::Kernel::neon};
  for (const Case& c : kCases) {
    if (!std::strstr(c.name, wanted)) continue;
    for (const bitsr::Kernel kernel : kKernels) {
      if (!bitsr::kernel_available(kernel) || (only && std::strcmp(only, bitsr::kernel_name(kernel)) != 0)) continue;
      for (const int threads : {1, 2})
        if (!measure(c, kernel, threads, seconds)) return 1;
    }
  }
  return 0;
}
