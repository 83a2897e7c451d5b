// What the readers of files say.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <string>
#include <string_view>

#include "bitsr/program.h"

namespace bitsr {

__attribute__((format(printf, 2, 3))) inline Status file_failure(StatusCode code, const char* format, ...) {
  Status status;
  status.code = code;
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(status.message, sizeof(status.message), format, arguments);
  va_end(arguments);
  return status;
}

// `where`: the table that does not lie whole in the file, or has a number that can not be.
inline Status damaged(const char* where) {
  return file_failure(StatusCode::invalid_program, "its %s are damaged; export the model again", where);
}

// A name out of a file for a message: short, and of characters that a terminal shows as they are.
inline std::string shown(std::string_view name) {
  constexpr size_t kMost = 60;
  std::string text(name.substr(0, kMost));
  for (char& letter : text)
    if (letter < ' ' || letter > '~') letter = '?';
  return text;
}

}  // namespace bitsr
