// What the core knows of programs, for tests of the Python twins. Without an argument: says which blobs the loader
// accepts, reading (u32 size, blob)... from the standard input and writing '1' or '0' for each. With --ops: prints the
// op table as JSON.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "bitsr/op_table.h"

namespace {

const char* const kKinds[] = {"map", "vector", "plane"};           // by ValueKind
const char* const kTypes[] = {"<f4", "<u8", "|i1", "|i1 or <i2"};  // by ConstantType, as NumPy writes them

const char* text(bool value) { return value ? "true" : "false"; }

void print_operands(const char* role, const bitsr::OperandInfo* operands, int32_t count) {
  std::printf(", \"%s\": [", role);
  for (int32_t i = 0; i < count; ++i)
    std::printf("%s[\"%s\", \"%s\", %s]", i ? ", " : "", operands[i].name,
                kKinds[static_cast<uint32_t>(operands[i].kind)], text(operands[i].optional));
  std::printf("]");
}

void print_ops() {
  const char* separator = "[";
  for (const bitsr::OpInfo& op : bitsr::op_table()) {
    std::printf("%s\n {\"kind\": %u, \"name\": \"%s\"", separator, static_cast<unsigned>(op.kind), op.name);
    print_operands("inputs", op.inputs, op.input_count());
    print_operands("outputs", op.outputs, op.output_count());
    std::printf(", \"constants\": [");
    for (int32_t i = 0; i < op.constant_count(); ++i)
      std::printf("%s[\"%s\", \"%s\", %s]", i ? ", " : "", op.constants[i].name,
                  kTypes[static_cast<uint32_t>(op.constants[i].type)], text(op.constants[i].optional));
    std::printf("], \"attributes\": [");
    for (int32_t i = 0; i < op.attribute_count(); ++i) std::printf("%s\"%s\"", i ? ", " : "", op.attributes[i]);
    std::printf("]}");
    separator = ",";
  }
  std::printf("\n]\n");
}

int check_blobs() {
  uint32_t size = 0;
  while (std::fread(&size, sizeof(size), 1, stdin) == 1) {
    std::vector<uint8_t> blob(size);
    if (size != 0 && std::fread(blob.data(), 1, size, stdin) != size) return 1;
    bitsr::Program* program = nullptr;
    const bitsr::Status status = bitsr::Program::load(blob.data(), blob.size(), bitsr::Isa::portable, &program);
    bitsr::Program::destroy(program);
    std::putchar(status.ok() ? '1' : '0');
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 1) return check_blobs();
  if (argc != 2 || std::strcmp(argv[1], "--ops") != 0) {
    std::fprintf(stderr, "usage: bitsr_blob_check [--ops]\n");
    return 2;
  }
  print_ops();
  return 0;
}
