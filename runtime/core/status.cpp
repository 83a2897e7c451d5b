#include "status.h"

#include <cstdarg>
#include <cstdio>

namespace bitsr {

Status failure(StatusCode code, const char* format, ...) {
  Status status;
  status.code = code;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(status.message, sizeof(status.message), format, arguments);
  va_end(arguments);
  return status;
}

}  // namespace bitsr
