#include "replay.h"

#include <cstdlib>
#include <memory>

#include "bitsr/thread_pool.h"
#include "network.h"
#include "pictures.h"

namespace bitsr {
namespace {

constexpr size_t kFields = 6;

struct Destroy {
  void operator()(Program* program) const { Program::destroy(program); }
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char letter : text) {
    if (letter == separator)
      parts.emplace_back();
    else
      parts.back() += letter;
  }
  return parts;
}

bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

bool parse_side(const std::string& text, int64_t* side) {
  if (text.empty() || text.size() > 7 || text.find_first_not_of("0123456789") != std::string::npos) return false;
  *side = std::strtoll(text.c_str(), nullptr, 10);
  return *side >= 1 && *side <= kMaxSide;
}

size_t count_of(const Shape& shape) { return static_cast<size_t>(shape.n * shape.c * shape.h * shape.w); }

Outcome run_case(const std::string& folder, const ReplayCase& one, Isa isa, const RunOptions& options,
                 ReplayResult* result) {
  Bytes blob;
  BITSR_TRY(read_file(folder + "/" + one.program, &blob));
  Program* loaded = nullptr;
  BITSR_TRY(from_status(Program::load(blob.data(), blob.size(), isa, &loaded)));
  const std::unique_ptr<Program, Destroy> program(loaded);
  const auto inputs = static_cast<size_t>(program->input_count()),
             outputs = static_cast<size_t>(program->output_count());
  if (inputs != one.inputs.size() || outputs != one.outputs.size())
    return failed(ErrorKind::argument, "the program has %zu inputs and %zu outputs, the line names %zu and %zu", inputs,
                  outputs, one.inputs.size(), one.outputs.size());
  std::vector<std::vector<float>> values(inputs + outputs);
  std::vector<TensorView> views(inputs + outputs);
  for (size_t i = 0; i < inputs; ++i) {
    Shape s{};
    BITSR_TRY(from_status(program->input_shape(static_cast<int32_t>(i), 1, one.height, one.width, &s)));
    BITSR_TRY(read_floats(folder + "/" + one.inputs[i], s, &values[i]));
    views[i] = {values[i].data(), s.n, s.c, s.h, s.w, Layout::nchw};
  }
  result->shapes.resize(outputs);
  BITSR_TRY(from_status(program->output_shapes(views.data(), result->shapes.data())));
  for (size_t i = 0; i < outputs; ++i) {
    const Shape& s = result->shapes[i];
    values[inputs + i].resize(count_of(s));
    views[inputs + i] = {values[inputs + i].data(), s.n, s.c, s.h, s.w, Layout::nchw};
  }
  const Clock::time_point start = Clock::now();
  BITSR_TRY(from_status(program->run(views.data(), views.data() + inputs, options)));
  result->ms = ms_since(start);
  for (size_t i = 0; i < outputs; ++i) {
    const std::vector<float>& out = values[inputs + i];
    BITSR_TRY(write_file(folder + "/" + one.outputs[i], out.data(), out.size() * sizeof(float)));
  }
  return {};
}

}  // namespace

Outcome parse_cases(const std::string& text, std::vector<ReplayCase>* cases) {
  int number = 0;
  for (const std::string& line : split(text, '\n')) {
    ++number;
    if (line.empty()) continue;
    const std::vector<std::string> fields = split(line, '\t');
    ReplayCase one;
    bool good = fields.size() == kFields && !fields[0].empty() && is_plain_name(fields[1]) &&
                parse_side(fields[2], &one.height) && parse_side(fields[3], &one.width);
    if (good) {
      one.name = fields[0];
      one.program = fields[1];
      one.inputs = split(fields[4], ',');
      one.outputs = split(fields[5], ',');
      for (const auto* names : {&one.inputs, &one.outputs})
        for (const std::string& name : *names) good = good && is_plain_name(name);
    }
    if (!good)
      return failed(
          ErrorKind::format,
          "cases.tsv line %d: expected name, program, height, width, inputs, outputs, separated by tabs, files without "
          "folders",
          number);
    cases->push_back(std::move(one));
  }
  return {};
}

Outcome replay(const std::string& folder, Isa isa, int32_t threads, std::vector<ReplayResult>* results) {
  return guarded([&]() -> Outcome {
    Bytes text;
    BITSR_TRY(read_file(folder + "/cases.tsv", &text));
    std::vector<ReplayCase> cases;
    BITSR_TRY(parse_cases(std::string(text.begin(), text.end()), &cases));
    ThreadPool pool(threads);
    const RunOptions options = {pool.parallel(), {}, {}};
    for (const ReplayCase& one : cases) {
      results->push_back({one.name, 0, {}});
      const Outcome outcome = run_case(folder, one, isa, options, &results->back());
      if (!outcome.ok()) return failed(outcome.kind, "case %s: %s", one.name.c_str(), outcome.message);
    }
    return {};
  });
}

}  // namespace bitsr
