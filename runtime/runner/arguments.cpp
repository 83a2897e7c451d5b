#include "arguments.h"

#include <cstdlib>
#include <cstring>

#include "pictures.h"

namespace bitsr {

const char kUsage[] =
    "usage: bitsr-run MODEL[@KERNEL][@RUNTIME]... [--info] [--input FILE]... [--output FILE] [--shape N,C,H,W]\n"
    "                 [--threads N] [--kernel KERNEL] [--runtime RUNTIME] [--warmup N] [--runs N] [--profile] "
    "[--dump-layers DIR]\n"
    "                 [--json FILE|-] [--delegate LIB] [--litert LIB] [--pte LIB]\n"
    "       bitsr-run --replay DIR [--kernel KERNEL] [--threads N] [--json FILE|-]\n"
    "MODEL is a .pte or .tflite; inputs and outputs are .ppm or .f32 (raw float32 NCHW).\n"
    "Inputs beside the map are .f32 or .i64 (raw int64), a --input each, behind the map's.\n"
    "RUNTIME is core (it needs all ops to be ours), framework, or auto (the core where it can).\n";

namespace {

constexpr int32_t kMaxThreads = 256, kMaxRuns = 1000000;

Outcome wrong(const char* what, const std::string& got) {
  return failed(ErrorKind::argument, "%s, got '%s'; see --help", what, got.c_str());
}

bool parse_count(const char* text, int32_t least, int32_t most, int32_t* count) {
  char* end = nullptr;
  const long number = std::strtol(text, &end, 10);
  if (end == text || *end != '\0' || number < least || number > most) return false;
  *count = static_cast<int32_t>(number);
  return true;
}

// A file may have an @ in its name: only names of a kernel and of a runtime behind the last ones count.
ModelArgument parse_model(const std::string& word, const Arguments& a) {
  ModelArgument model = {word, a.isa, a.runtime};
  for (size_t at = word.rfind('@'); at != std::string::npos; at = model.path.rfind('@')) {
    const std::string name = model.path.substr(at + 1);
    if (!parse_isa(name.c_str(), &model.isa) && !parse_runtime(name.c_str(), &model.runtime)) break;
    model.path.resize(at);
  }
  return model;
}

Outcome check(const Arguments& a) {
  if (!a.replay.empty()) {
    if (!a.models.empty()) return wrong("--replay takes no model", a.models[0].path);
    return {};
  }
  if (a.models.empty()) return failed(ErrorKind::argument, "there is no model; see --help");
  if (a.models.size() > 1 && !a.output.empty()) return wrong("--output takes a single model", a.output);
  if (a.models.size() > 1 && !a.dump_layers.empty()) return wrong("--dump-layers takes a single model", a.dump_layers);
  const std::string map = a.inputs.empty() ? "" : a.inputs.front();
  for (const std::string& file : {map, a.output}) {
    const std::string kind = extension(file);
    if (!file.empty() && kind != "ppm" && kind != "f32") return wrong("pictures are .ppm, tensors .f32", file);
  }
  for (size_t i = 1; i < a.inputs.size(); ++i) {
    const std::string kind = extension(a.inputs[i]);
    if (kind != "f32" && kind != "i64") return wrong("inputs beside the map are .f32 or .i64", a.inputs[i]);
  }
  const std::string in = extension(map);
  if (in == "f32" && a.shape.n == 0) return wrong("a .f32 input needs --shape N,C,H,W", map);
  if (in == "ppm" && a.shape.n != 0) return wrong("a picture has its own size: no --shape", map);
  if (a.info && (!a.inputs.empty() || !a.output.empty()))
    return wrong("--info does not run the model: no --input, no --output", "--info");
  return {};
}

}  // namespace

Outcome parse_arguments(int count, const char* const* words, Arguments* a) {
  std::vector<std::string> models;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (word == "--info") {
      a->info = true;
    } else if (word == "--profile") {
      a->profile = true;
    } else if (word == "--help" || word == "-h") {
      a->help = true;
      return {};
    } else if (word.rfind("--", 0) != 0) {
      models.push_back(word);
    } else {
      struct Text {
        const char* flag;
        std::string* place;
      };
      struct Number {
        const char* flag;
        int32_t least, most;
        int32_t* place;
      };
      const Text texts[] = {{"--output", &a->output},     {"--dump-layers", &a->dump_layers}, {"--json", &a->json},
                            {"--delegate", &a->delegate}, {"--litert", &a->litert},           {"--pte", &a->pte},
                            {"--replay", &a->replay}};
      const Number numbers[] = {{"--threads", 1, kMaxThreads, &a->threads},
                                {"--warmup", 0, kMaxRuns, &a->warmup},
                                {"--runs", 0, kMaxRuns, &a->runs}};
      const char* value = i + 1 < count ? words[i + 1] : nullptr;
      bool known = word == "--input" || word == "--shape" || word == "--kernel" || word == "--runtime";
      for (const Text& text : texts) known = known || word == text.flag;
      for (const Number& number : numbers) known = known || word == number.flag;
      if (!known) return wrong("there is no such flag", word);
      if (value == nullptr || *value == '\0') return wrong("the flag needs a value", word);
      ++i;
      for (const Text& text : texts)
        if (word == text.flag) *text.place = value;
      for (const Number& number : numbers)
        if (word == number.flag && !parse_count(value, number.least, number.most, number.place))
          return wrong(
              (word + " needs a number from " + std::to_string(number.least) + " to " + std::to_string(number.most))
                  .c_str(),
              value);
      if (word == "--input") a->inputs.emplace_back(value);
      if (word == "--shape" && !parse_shape(value, &a->shape)) return wrong("--shape needs N,C,H,W", value);
      if (word == "--runtime" && !parse_runtime(value, &a->runtime))
        return wrong((std::string("--runtime needs one of ") + kRuntimeNames).c_str(), value);
      if (word == "--kernel" && !parse_isa(value, &a->isa))
        return wrong((std::string("--kernel needs one of auto, ") + isa_names().text).c_str(), value);
    }
  }
  for (const std::string& model : models) a->models.push_back(parse_model(model, *a));
  return check(*a);
}

}  // namespace bitsr
