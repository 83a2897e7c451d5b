#include "json.h"

#include <locale.h>

#include <cctype>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace bitsr {
namespace {

constexpr int kMaxDepth = 32;

// Reads a text once; every function leaves `at` behind what it has read, and returns false where the text is wrong.
struct Scanner {
  explicit Scanner(std::string_view whole) : text(whole) {}

  std::string_view text;
  size_t at = 0;
  int depth = 0;
  std::string_view wanted;  // a key of the top-level object,
  std::string_view found;   // and its value

  char peek() const { return at < text.size() ? text[at] : '\0'; }
  void space() {
    while (at < text.size() && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r')) ++at;
  }
  bool take(char letter) {
    space();
    if (at >= text.size() || text[at] != letter) return false;
    ++at;
    return true;
  }
  bool word(std::string_view expected) {
    if (text.substr(at, expected.size()) != expected) return false;
    at += expected.size();
    return true;
  }
  bool digits() {
    const size_t start = at;
    while (std::isdigit(static_cast<unsigned char>(peek()))) ++at;
    return at > start;
  }

  bool string() {
    if (!take('"')) return false;
    while (at < text.size()) {
      const auto letter = static_cast<unsigned char>(text[at++]);
      if (letter == '"') return true;
      if (letter < 0x20) return false;
      if (letter != '\\') continue;
      const char escape = peek();
      ++at;
      if (escape == 'u') {
        for (int i = 0; i < 4; ++i, ++at)
          if (!std::isxdigit(static_cast<unsigned char>(peek()))) return false;
      } else if (std::string_view("\"\\/bfnrt").find(escape) == std::string_view::npos || escape == '\0') {
        return false;
      }
    }
    return false;
  }

  bool number() {
    if (peek() == '-') ++at;
    if (peek() == '0') {
      ++at;
    } else if (!digits()) {
      return false;
    }
    if (peek() == '.') {
      ++at;
      if (!digits()) return false;
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at;
      if (peek() == '+' || peek() == '-') ++at;
      if (!digits()) return false;
    }
    return true;
  }

  bool object() {
    if (!take('{')) return false;
    if (take('}')) return true;
    do {
      space();
      const size_t start = at;
      if (!string()) return false;
      const std::string_view key = text.substr(start + 1, at - start - 2);
      if (!take(':')) return false;
      space();
      const size_t begin = at;
      if (!value()) return false;
      if (depth == 1 && !wanted.empty() && key == wanted) found = text.substr(begin, at - begin);
    } while (take(','));
    return take('}');
  }

  bool array() {
    if (!take('[')) return false;
    if (take(']')) return true;
    do {
      if (!value()) return false;
    } while (take(','));
    return take(']');
  }

  bool value() {
    space();
    if (depth >= kMaxDepth) return false;
    ++depth;
    bool good = false;
    switch (peek()) {
      case '{':
        good = object();
        break;
      case '[':
        good = array();
        break;
      case '"':
        good = string();
        break;
      case 't':
        good = word("true");
        break;
      case 'f':
        good = word("false");
        break;
      case 'n':
        good = word("null");
        break;
      default:
        good = number();
    }
    --depth;
    return good;
  }
};

// Text that the scanner takes for a number. strtod() alone reads what the thread's locale calls one.
double number_of(const std::string& text) {
  static const locale_t classic = newlocale(LC_NUMERIC_MASK, "C", nullptr);
  const locale_t before = uselocale(classic);
  const double number = std::strtod(text.c_str(), nullptr);
  uselocale(before);
  return number;
}

}  // namespace

bool is_json_object(std::string_view text) {
  Scanner scanner(text);
  scanner.space();
  if (scanner.peek() != '{' || !scanner.value()) return false;
  scanner.space();
  return scanner.at == text.size();
}

bool json_value(std::string_view text, std::string_view key, std::string_view* value) {
  Scanner scanner(text);
  scanner.wanted = key;
  if (!scanner.value() || scanner.found.empty()) return false;
  *value = scanner.found;
  return true;
}

bool json_text(std::string_view text, std::string_view key, std::string_view* value) {
  std::string_view found;
  if (!json_value(text, key, &found) || found.size() < 2 || found.front() != '"' ||
      found.find('\\') != std::string_view::npos)
    return false;
  *value = found.substr(1, found.size() - 2);
  return true;
}

bool json_pair(std::string_view array, double pair[2]) {
  Scanner scanner(array);
  if (!scanner.take('[')) return false;
  for (int i = 0; i < 2; ++i) {
    scanner.space();
    const size_t start = scanner.at;
    if (!scanner.number()) return false;
    pair[i] = number_of(std::string(array.substr(start, scanner.at - start)));
    if (!std::isfinite(pair[i]) || !scanner.take(i == 0 ? ',' : ']')) return false;
  }
  scanner.space();
  return scanner.at == array.size();
}

bool json_integer(std::string_view text, std::string_view key, int64_t* value) {
  std::string_view found;
  if (!json_value(text, key, &found) || found.size() > 18) return false;
  const std::string digits(found);
  char* end = nullptr;
  *value = std::strtoll(digits.c_str(), &end, 10);
  return end != digits.c_str() && *end == '\0';
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char letter : text) {
    const auto code = static_cast<unsigned char>(letter);
    if (letter == '"' || letter == '\\') {
      out += '\\';
      out += letter;
    } else if (code < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", code);
      out += escape;
    } else {
      out += letter;
    }
  }
  return out + "\"";
}

std::string json_number(double value) {
  if (!std::isfinite(value)) return "null";
  char text[32];
  std::snprintf(text, sizeof(text), "%.6g", value);
  return text;
}

}  // namespace bitsr
