// What the readers of files say.
#pragma once

#include <string>
#include <string_view>

#include "../core/status.h"

namespace bitsr {

// `where`: the table that does not lie whole in the file, or has a number that can not be.
inline Status damaged(const char* where) {
  return failure(StatusCode::invalid_program, "its %s are damaged; export the model again", where);
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
