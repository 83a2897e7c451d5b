#include "core_network.h"

#include <cstring>

#include "../artifact/core_program.h"
#include "bitsr/thread_pool.h"

namespace bitsr {
namespace {

Outcome from_file(const Status& status, const std::string& path) {
  if (status.ok()) return {};
  Outcome outcome = from_status(status);
  return failed(outcome.kind, "%s does not load: %s", path.c_str(), status.message);
}

Status load(const Bytes& content, Format format, Isa isa, CoreProgram* found) {
  return format == Format::pte ? load_pte_program(content.data(), content.size(), isa, found)
                               : load_tflite_program(content.data(), content.size(), isa, found);
}

constexpr int64_t kNhwcChannels = 16;

class CoreNetwork final : public Network {
 public:
  CoreNetwork(CoreProgram program, const NetworkOptions& options)
      : path_(options.path), program_(std::move(program.program)), pool_(options.threads) {
    input = program.input;
    runtime = "core";
    runtime_version = BITSR_VERSION;
    threads = options.threads;
    lives_in_children = true;  // as the pool does
  }

  Outcome output_for(const std::string& path, const Shape& map, Shape* shape) const override {
    BITSR_TRY(check_map(path, map));
    float unread = 0;  // the core refuses null pointers
    const TensorView in = {&unread, map.n, map.c, map.h, map.w, Layout::nchw};
    return from_status(program_->output_shapes(&in, shape));
  }

  Outcome set_input(const float* nchw, const Shape& shape) override {
    BITSR_TRY(check_map(path_, shape));
    input_.resize(static_cast<size_t>(value_count(shape)));
    give_map(nchw, shape, form_of(shape.c), input_.data());
    input_shape_ = shape;
    output = {};
    return {};
  }

  Outcome execute(const RunHooks& hooks, RunTime* time) override {
    if (input_shape_.n == 0) return failed(ErrorKind::argument, "%s has no input yet", path_.c_str());
    output = {};  // stays so if the run does not succeed
    if (stopped(hooks)) return cancelled();
    const TensorView in = view(input_.data(), input_shape_);
    Shape shape{};
    BITSR_TRY(output_for(path_, input_shape_, &shape));
    output_.resize(static_cast<size_t>(value_count(shape)));
    const TensorView out = view(output_.data(), shape);
    if (hooks.profile != nullptr || hooks.result != nullptr) BITSR_TRY(observe(in, out, hooks));
    const Stopwatch stopwatch;
    BITSR_TRY(from_status(program_->run(&in, &out, {pool_.parallel(), {}, {}, {hooks.context, hooks.proceed}})));
    *time = stopwatch.elapsed();
    if (stopped(hooks)) return cancelled();
    output = shape;
    return {};
  }

  // The program reads and writes the caller's maps where they lie as it takes them.
  Outcome run(const std::string& path, const float* nchw, const Shape& shape, float* out, size_t out_count, Shape* made,
              const RunHooks& hooks) override {
    Shape result{};
    BITSR_TRY(output_for(path, shape, &result));
    const bool fits = out != nullptr && out_count == static_cast<size_t>(value_count(result));
    if (!fits || form_of(shape.c).nhwc || form_of(result.c).nhwc || hooks.profile != nullptr || hooks.result != nullptr)
      return Network::run(path, nchw, shape, out, out_count, made, hooks);
    output = {};
    if (stopped(hooks)) return cancelled();
    const TensorView from = view(const_cast<float*>(nchw), shape), to = view(out, result);  // an input is only read
    BITSR_TRY(from_status(program_->run(&from, &to, {pool_.parallel(), {}, {}, {hooks.context, hooks.proceed}})));
    if (stopped(hooks)) return cancelled();
    *made = result;
    return {};
  }

  Outcome get_output(float* nchw) const override {
    take_map(output_.data(), output, form_of(output.c), nchw);
    return {};
  }

 private:
  // Maps of many channels lie as the kernels read and write them.
  static MapForm form_of(int64_t channels) { return {channels % kNhwcChannels == 0}; }
  static TensorView view(float* data, const Shape& s) {
    return {data, s.n, s.c, s.h, s.w, form_of(s.c).nhwc ? Layout::nhwc : Layout::nchw};
  }

  // A run that is looked at is one more, so that it disturbs no time.
  Outcome observe(const TensorView& in, const TensorView& out, const RunHooks& hooks) {
    Watch watch = {&hooks, {}, {}};
    RunOptions options = {pool_.parallel(), {&watch, op_begins, nullptr}, {&watch, nullptr}, {}};
    if (hooks.profile != nullptr) options.profiler.end = op_ends;
    if (hooks.result != nullptr) options.observer.result = op_result;
    return from_status(program_->run(&in, &out, options));
  }

  struct Watch {
    const RunHooks* hooks;
    std::string name;
    Clock::time_point start;
  };
  static void op_begins(void* context, int32_t, const char* name) {
    auto* watch = static_cast<Watch*>(context);
    watch->name = name;
    watch->start = Clock::now();
  }
  // The network is one partition, number 0.
  static void op_ends(void* context, int32_t op) {
    const auto* watch = static_cast<Watch*>(context);
    const double ms = ms_since(watch->start);
    const std::string name = "0/" + std::to_string(op) + " " + watch->name;
    watch->hooks->profile(watch->hooks->context, {name.c_str(), "bitsr", ms});
  }
  static void op_result(void* context, int32_t op, int32_t place, const StridedView& result) {
    const auto* watch = static_cast<Watch*>(context);
    watch->hooks->result(watch->hooks->context, 0, op, watch->name.c_str(), place, result);
  }

  std::string path_;
  std::unique_ptr<Program, DestroyProgram> program_;
  ThreadPool pool_;
  std::vector<float> input_, output_;
  Shape input_shape_{};
};

}  // namespace

Outcome open_core(const Bytes& content, Format format, const NetworkOptions& options, std::unique_ptr<Network>* network,
                  std::string* foreign) {
  CoreProgram found;
  BITSR_TRY(from_file(load(content, format, options.isa, &found), options.path));
  *foreign = found.foreign;
  if (found.program != nullptr) *network = std::make_unique<CoreNetwork>(std::move(found), options);
  return {};
}

Outcome runs_in_core(const Bytes& content, Format format, const std::string& path, bool* runs) {
  CoreProgram found;
  BITSR_TRY(from_file(load(content, format, Isa::portable, &found), path));
  *runs = found.program != nullptr;
  return {};
}

}  // namespace bitsr
