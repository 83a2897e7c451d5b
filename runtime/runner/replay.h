// --replay: programs of the core alone, each on given inputs.
#pragma once

#include <string>
#include <vector>

#include "files.h"

namespace bitsr {

struct ReplayCase {
  std::string name, program;
  int64_t height = 0, width = 0;
  std::vector<std::string> inputs, outputs;  // file names
};

struct ReplayResult {
  std::string name;
  double ms = 0;
  std::vector<Shape> shapes;
};

// The lines of cases.tsv. File names must be plain: no folder, so that nothing outside is touched.
Outcome parse_cases(const std::string& text, std::vector<ReplayCase>* cases);
// Runs the cases of `folder`/cases.tsv and writes their outputs there; it stops at the first failure.
Outcome replay(const std::string& folder, Isa isa, int32_t threads, std::vector<ReplayResult>* results);

}  // namespace bitsr
