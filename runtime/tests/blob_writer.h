// Writes program blobs, version 1 of docs/formats.md, well-formed or not.
#pragma once

#include "net.h"

namespace bitsr_test {

// Where the fields of the header lie.
enum HeaderField {
  kMagicAt = 0,
  kVersionAt = 4,
  kBytesAt = 8,
  kCrcAt = 12,
  kValueCountAt = 16,
  kOpCountAt = 20,
  kInputCountAt = 24,
  kOutputCountAt = 28,
  kValuesAt = 32,
  kOpsAt = 36,
  kInputsAt = 40,
  kOutputsAt = 44,
  kHeaderBytes = 64
};

Bytes write_blob(const Net& net);

uint32_t crc32(const void* data, size_t size);
uint32_t get_u32(const Bytes& blob, size_t at);
void put_u32(Bytes* blob, size_t at, uint32_t value);
// Makes the checksum and the length of a changed blob right again.
void seal(Bytes* blob);

}  // namespace bitsr_test
