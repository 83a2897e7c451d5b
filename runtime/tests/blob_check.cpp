// Says which blobs the loader accepts, for tests/runtime/test_blob_readers.py: reads (u32 size, blob)... from the
// standard input and writes '1' or '0' for each.
#include <cstdint>
#include <cstdio>
#include <vector>

#include "bitsr/program.h"

int main() {
  uint32_t size = 0;
  while (std::fread(&size, sizeof(size), 1, stdin) == 1) {
    std::vector<uint8_t> blob(size);
    if (size != 0 && std::fread(blob.data(), 1, size, stdin) != size) return 1;
    bitsr::Program* program = nullptr;
    const bitsr::Status status = bitsr::Program::load(blob.data(), blob.size(), bitsr::Kernel::portable, &program);
    bitsr::Program::destroy(program);
    std::putchar(status.ok() ? '1' : '0');
  }
  return 0;
}
