#include "files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace bitsr {
namespace {

constexpr size_t kIdentifierAt = 4;

size_t dot_of(const std::string& path) {
  const size_t slash = path.rfind('/'), dot = path.rfind('.');
  const size_t name = slash == std::string::npos ? 0 : slash + 1;
  return dot == std::string::npos || dot <= name ? std::string::npos : dot;
}

}  // namespace

Outcome read_file(const std::string& path, Bytes* content) {
  struct stat facts;
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return failed(ErrorKind::file, "cannot read %s: %s", path.c_str(), std::strerror(errno));
  if (fstat(fileno(file), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    std::fclose(file);
    return failed(ErrorKind::file, "cannot read %s: it is no regular file", path.c_str());
  }
  size_t got = 0;
  try {
    content->resize(static_cast<size_t>(facts.st_size));
    got = std::fread(content->data(), 1, content->size(), file);
  } catch (...) {
    std::fclose(file);
    throw;
  }
  std::fclose(file);
  if (got != content->size()) return failed(ErrorKind::file, "cannot read %s: it ends early", path.c_str());
  return {};
}

Outcome write_file(const std::string& path, const void* data, size_t size) {
  const std::string temporary = path + ".part" + std::to_string(getpid());
  std::FILE* file = std::fopen(temporary.c_str(), "wb");
  if (file == nullptr) return failed(ErrorKind::file, "cannot write %s: %s", path.c_str(), std::strerror(errno));
  bool good = std::fwrite(data, 1, size, file) == size;
  good = std::fclose(file) == 0 && good;
  if (good && std::rename(temporary.c_str(), path.c_str()) == 0) return {};
  const int error = errno;
  std::remove(temporary.c_str());
  return failed(ErrorKind::file, "cannot write %s: %s", path.c_str(), std::strerror(error));
}

bool file_exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

bool sniff(const uint8_t* data, size_t size, Format* format) {
  if (size < kIdentifierAt + 4) return false;
  const uint8_t* identifier = data + kIdentifierAt;
  // ExecuTorch counts its file versions in the last two characters.
  const bool pte = std::memcmp(identifier, "ET", 2) == 0 && std::isdigit(identifier[2]) && std::isdigit(identifier[3]);
  if (!pte && std::memcmp(identifier, "TFL3", 4) != 0) return false;
  *format = pte ? Format::pte : Format::tflite;
  return true;
}

std::string extension(const std::string& path) {
  const size_t dot = dot_of(path);
  std::string found = dot == std::string::npos ? "" : path.substr(dot + 1);
  for (char& letter : found) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  return found;
}

std::string with_extension(const std::string& path, const char* extension) {
  return path.substr(0, dot_of(path)) + extension;
}

}  // namespace bitsr
