// Just enough JSON: a check of a whole text, single values of the top-level object, and escaped strings to write.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bitsr {

// Whether the text is one JSON object (RFC 8259) and nothing else but white space.
bool is_json_object(std::string_view text);
// The integer at `key` of the top-level object of a text that is_json_object() accepts. False: no such integer.
bool json_integer(std::string_view text, std::string_view key, int64_t* value);

// With its quotes.
std::string json_string(std::string_view text);
std::string json_number(double value);

}  // namespace bitsr
