// Making an Outcome with a formatted message, and keeping exceptions inside.
#pragma once

#include <exception>
#include <new>

#include "bitsr/session.h"

namespace bitsr {

__attribute__((format(printf, 2, 3))) Outcome failed(ErrorKind kind, const char* format, ...);
Outcome from_status(const Status& status);
Outcome cancelled();

#define BITSR_TRY(expression)                 \
  do {                                        \
    ::bitsr::Outcome outcome_ = (expression); \
    if (!outcome_.ok()) return outcome_;      \
  } while (false)

// The standard library throws when memory ends; callers in other languages must not see that.
template <typename Body>
Outcome guarded(Body body) {
#ifdef __cpp_exceptions
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return failed(ErrorKind::memory, "out of memory; use a smaller picture or tiles");
  } catch (const std::exception& error) {
    return failed(ErrorKind::runtime, "%s", error.what());
  }
#else  // a page: what can not be allocated ends the module
  return body();
#endif
}

}  // namespace bitsr
