// Opens models and runs them as the command line says.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "arguments.h"

namespace bitsr {

struct ProfileRow {
  std::string name, kind;
  double ms;
};

// What one model gave.
struct Measured {
  std::string path;
  SessionInfo info{};  // its strings are the session's
  double load_ms = 0, first_ms = 0;
  std::vector<double> samples_ms, samples_cpu_ms;
  Shape input{}, output{};  // n of the output is 0 where the model did not run
  bool profiled = false;
  std::vector<ProfileRow> profile;
};

struct CloseSession {
  void operator()(Session* session) const { Session::destroy(session); }
};

// `sessions` own what `measured` points into.
Outcome measure(const Arguments& arguments, std::vector<std::unique_ptr<Session, CloseSession>>* sessions,
                std::vector<Measured>* measured);

}  // namespace bitsr
