// bitsr-run: README.md is its contract.
#include <algorithm>
#include <cstdio>

#include "arguments.h"
#include "files.h"
#include "measure.h"
#include "replay.h"
#include "report.h"

namespace bitsr {
namespace {

constexpr int kFailed = 1, kUsageError = 2;

int report_error(const Outcome& outcome, int code) {
  std::fprintf(stderr, "bitsr-run: error: %s\n", outcome.message);
  return code;
}

Outcome write_report(const std::string& path, const std::string& text) {
  if (path != "-") return write_file(path, text.data(), text.size());
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    return failed(ErrorKind::file, "cannot write to the standard output");
  return {};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 != 0 ? values[half] : (values[half - 1] + values[half]) / 2;
}

void say(const Measured& m) {
  std::fprintf(stderr, "%s: kernel %s, %d thread%s, loaded in %.1f ms", m.path.c_str(), isa_name(m.info.isa),
               static_cast<int>(m.info.threads), m.info.threads == 1 ? "" : "s", m.load_ms);
  if (!m.samples_ms.empty())
    std::fprintf(stderr, ", median of %zu runs %.3f ms", m.samples_ms.size(), median(m.samples_ms));
  std::fprintf(stderr, "\n");
}

Outcome run_models(const Arguments& arguments) {
  std::vector<std::unique_ptr<Session, CloseSession>> sessions;
  std::vector<Measured> measured;
  BITSR_TRY(measure(arguments, &sessions, &measured));
  for (const Measured& m : measured) say(m);
  return arguments.json.empty() ? Outcome{} : write_report(arguments.json, report_models(measured));
}

Outcome run_replay(const Arguments& arguments) {
  if (!isa_available(arguments.isa))
    return failed(ErrorKind::unsupported, "this processor or build lacks the kernel '%s'; choose one of auto, %s",
                  isa_name(arguments.isa), isa_names().text);
  std::vector<ReplayResult> results;
  BITSR_TRY(replay(arguments.replay, arguments.isa, arguments.threads, &results));
  std::fprintf(stderr, "%zu cases replayed in %s\n", results.size(), arguments.replay.c_str());
  const Isa isa = arguments.isa == Isa::automatic ? best_isa() : arguments.isa;
  const std::string text = report_replay(results, isa, arguments.threads);
  return arguments.json.empty() ? Outcome{} : write_report(arguments.json, text);
}

int run(int count, char** words) {
  Arguments arguments;
  const Outcome usage = guarded([&] { return parse_arguments(count, words, &arguments); });
  if (!usage.ok()) return report_error(usage, kUsageError);
  if (arguments.help) {
    std::printf("%sKERNEL is auto (the fastest) or one of %s.\n", kUsage, isa_names().text);
    return 0;
  }
  const Outcome done =
      guarded([&] { return arguments.replay.empty() ? run_models(arguments) : run_replay(arguments); });
  return done.ok() ? 0 : report_error(done, kFailed);
}

}  // namespace
}  // namespace bitsr

int main(int count, char** words) { return bitsr::run(count, words); }
