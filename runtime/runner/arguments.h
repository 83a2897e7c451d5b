// The command line of bitsr-run.
#pragma once

#include <string>
#include <vector>

#include "outcome.h"

namespace bitsr {

struct ModelArgument {
  std::string path;
  Isa isa = Isa::automatic;
  Runtime runtime = Runtime::automatic;
};

struct Arguments {
  std::vector<ModelArgument> models;
  std::vector<std::string> inputs;  // the map's first
  std::string output, dump_layers, json, delegate, litert, pte, replay;
  Shape shape{};  // n is 0 where it is not given
  Isa isa = Isa::automatic;
  Runtime runtime = Runtime::automatic;
  int32_t threads = 1, warmup = 0, runs = 1;
  bool info = false, profile = false, help = false;
};

extern const char kUsage[];

// Failure: what is wrong with the command line.
Outcome parse_arguments(int count, const char* const* words, Arguments* arguments);

}  // namespace bitsr
