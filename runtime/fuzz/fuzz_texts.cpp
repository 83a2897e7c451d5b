// What bitsr-run reads beside models: pictures, the lines of a replay, sidecars, its command line, and what it looks
// for in a model itself. The first byte of the input chooses; the rest is the content.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "../artifact/tflite_metadata.h"
#include "arguments.h"
#include "files.h"
#include "json.h"
#include "metadata.h"
#include "pictures.h"
#include "replay.h"

namespace {

using namespace bitsr;

void check(bool condition) {
  if (!condition) std::abort();
}

void picture(const Bytes& content) {
  Picture picture;
  if (!parse_ppm(content.data(), content.size(), "fuzz.ppm", &picture).ok()) return;
  check(static_cast<int64_t>(picture.rgb.size()) == 3 * picture.width * picture.height);
  Picture again;
  const Bytes written = format_ppm(picture);
  check(parse_ppm(written.data(), written.size(), "again.ppm", &again).ok() && again.rgb == picture.rgb);
}

void cases(const std::string& text) {
  std::vector<ReplayCase> found;
  if (!parse_cases(text, &found).ok()) return;
  for (const ReplayCase& one : found) {
    check(one.height >= 1 && one.width >= 1 && !one.inputs.empty() && !one.outputs.empty());
    check(one.program.find('/') == std::string::npos);
    for (const auto* names : {&one.inputs, &one.outputs})
      for (const std::string& name : *names) check(name.find('/') == std::string::npos && name != "..");
  }
}

void sidecar(const std::string& text) {
  if (!is_json_object(text)) return;
  int64_t scale = 0;
  json_integer(text, "scale", &scale);
  json_integer(text, "artifact_bytes", &scale);
  Metadata metadata;
  if (parse_metadata(text, "fuzz.pte", "fuzz.json", &metadata).ok())
    check(metadata.scale >= 1 && metadata.multiple >= 1 && metadata.range.low <= metadata.range.high);
  check(is_json_object("{\"text\": " + json_string(text) + "}"));
}

void command_line(const std::string& text) {
  std::vector<std::string> words = {"bitsr-run"};
  for (const char letter : text) {
    if (letter == '\n')
      words.emplace_back();
    else if (letter != '\0')
      words.back() += letter;
  }
  std::vector<const char*> pointers;
  for (const std::string& word : words) pointers.push_back(word.c_str());
  Arguments arguments;
  if (parse_arguments(static_cast<int>(pointers.size()), pointers.data(), &arguments).ok())
    check(arguments.help || !arguments.models.empty() || !arguments.replay.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Bytes content(data + 1, data + size);
  const std::string text(content.begin(), content.end());
  Shape shape{};
  Format format{};
  switch (data[0] % 6) {
    case 0:
      picture(content);
      break;
    case 1:
      cases(text);
      break;
    case 2:
      sidecar(text);
      break;
    case 3:
      command_line(text);
      break;
    case 4:
      if (parse_shape(text, &shape)) check(shape.n > 0 && shape.c > 0 && shape.h > 0 && shape.w > 0);
      break;
    default:
      sniff(content.data(), content.size(), &format);
      check(read_tflite_metadata(content.data(), content.size()).size() <= content.size());
  }
  return 0;
}
