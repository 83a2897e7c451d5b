// Just enough JSON: a check of a whole text, single values of the top-level object, and escaped strings to write.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bitsr {

// Whether the text is one JSON object (RFC 8259) and nothing else but white space.
bool is_json_object(std::string_view text);
// The text of the value at `key` of the top-level object of a text that is_json_object() accepts, or of an object
// within it. False: no such key.
bool json_value(std::string_view text, std::string_view key, std::string_view* value);
// The same where the value is an integer. False: no such integer.
bool json_integer(std::string_view text, std::string_view key, int64_t* value);
// The same where the value is a string without escapes. False: no such string.
bool json_text(std::string_view text, std::string_view key, std::string_view* value);
// An array of just two numbers.
bool json_pair(std::string_view array, double pair[2]);

// With its quotes.
std::string json_string(std::string_view text);
std::string json_number(double value);

}  // namespace bitsr
