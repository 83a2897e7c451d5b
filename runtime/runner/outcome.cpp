#include "outcome.h"

#include <cstdarg>
#include <cstdio>

namespace bitsr {

Outcome failed(ErrorKind kind, const char* format, ...) {
  Outcome outcome;
  outcome.kind = kind;
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(outcome.message, sizeof(outcome.message), format, arguments);
  va_end(arguments);
  return outcome;
}

Outcome cancelled() { return failed(ErrorKind::cancelled, "the run was cancelled"); }

Outcome from_status(const Status& status) {
  switch (status.code) {
    case StatusCode::ok:
      return {};
    case StatusCode::invalid_program:
    case StatusCode::newer_version:
      return failed(ErrorKind::format, "%s", status.message);
    case StatusCode::invalid_argument:
      return failed(ErrorKind::argument, "%s", status.message);
    case StatusCode::out_of_memory:
      return failed(ErrorKind::memory, "%s", status.message);
    case StatusCode::cancelled:
      return cancelled();
    case StatusCode::unsupported_isa:
      return failed(ErrorKind::unsupported, "%s", status.message);
  }
  return failed(ErrorKind::runtime, "%s", status.message);
}

}  // namespace bitsr
