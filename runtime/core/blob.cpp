// Reads a program blob (docs/formats.md). Nothing in it is trusted.
#include <cstring>

#include "bitsr/builder.h"
#include "graph.h"
#include "status.h"

namespace bitsr {
namespace {

constexpr char kMagic[4] = {'B', 'S', 'R', 'P'};
constexpr size_t kHeaderBytes = 64;
constexpr size_t kValueBytes = 16;
constexpr uint32_t kConstantAlignment = 64;
constexpr uint32_t kNone = 0xffffffffu;
// The planner is quadratic in these; a network of 32 layers has about 100 ops.
constexpr uint32_t kMaxCount = 1u << 12;

// CRC-32 (IEEE), four bits at a time.
uint32_t crc32(const uint8_t* data, size_t size) {
  uint32_t table[16];
  for (uint32_t i = 0; i < 16; ++i) {
    table[i] = i;
    for (int bit = 0; bit < 4; ++bit) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0);
  }
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < size; ++i) {
    crc ^= data[i];
    crc = crc >> 4 ^ table[crc & 15];
    crc = crc >> 4 ^ table[crc & 15];
  }
  return ~crc;
}

// Reads u32 words of [offset, size); `ok` turns false at the first read outside and stays so.
struct Reader {
  const uint8_t* data;
  size_t size, offset;
  bool ok = true;

  uint32_t u32() {
    uint32_t value = 0;
    if (!ok || size - offset < 4) {
      ok = false;
      return 0;
    }
    memcpy(&value, data + offset, 4);
    offset += 4;
    return value;
  }
};

Reader reader_at(const uint8_t* data, size_t size, size_t offset) {
  return {data, size, offset <= size ? offset : size, offset <= size};
}

// Ids that no program can have become INT32_MAX, which validate() refuses.
int32_t id_of(uint32_t word) {
  if (word == kNone) return kAbsent;
  return word < kMaxCount ? static_cast<int32_t>(word) : INT32_MAX;
}

Status truncated(const char* what) {
  return failure(StatusCode::invalid_program, "the program ends inside its %s; export the model again", what);
}

Status read_op(Reader* in, OpSpec* op, int32_t index) {
  *op = {};
  op->kind = static_cast<OpKind>(in->u32());
  const uint32_t inputs = in->u32(), outputs = in->u32(), constants = in->u32(), attributes = in->u32();
  if (!in->ok) return truncated("ops");
  if (inputs > kMaxInputs || outputs > kMaxOutputs || constants > kMaxConstants || attributes > kMaxAttributes)
    return failure(StatusCode::invalid_program, "op %d has %u inputs, %u outputs, %u constants, %u attributes", index,
                   inputs, outputs, constants, attributes);
  op->input_count = static_cast<int32_t>(inputs);
  op->output_count = static_cast<int32_t>(outputs);
  op->constant_count = static_cast<int32_t>(constants);
  op->attribute_count = static_cast<int32_t>(attributes);
  for (uint32_t i = 0; i < inputs; ++i) op->inputs[i] = id_of(in->u32());
  for (uint32_t i = 0; i < outputs; ++i) op->outputs[i] = id_of(in->u32());
  for (uint32_t i = 0; i < constants; ++i) {
    const uint32_t offset = in->u32(), bytes = in->u32();
    if (offset == kNone) {
      if (bytes != 0)
        return failure(StatusCode::invalid_program, "op %d: constant %u is absent but has a size", index, i);
      continue;
    }
    if (offset % kConstantAlignment != 0 || offset < kHeaderBytes || offset > in->size || bytes > in->size - offset)
      return failure(StatusCode::invalid_program,
                     "op %d: constant %u at %u: expected a multiple of %u inside the program", index, i, offset,
                     kConstantAlignment);
    op->constants[i] = {in->data + offset, bytes};
  }
  for (uint32_t i = 0; i < attributes; ++i) op->attributes[i] = static_cast<int32_t>(in->u32());
  return in->ok ? Status{} : truncated("ops");
}

// Whether an op has weights of 16 bits: twice as many bytes as its attributes and its steps of float32 ask for.
bool has_wide_weights(const OpSpec& op) {
  if (op.kind != OpKind::quantized_conv2d) return false;
  const auto out = static_cast<uint64_t>(op.attributes[quantized_conv2d::kOutChannels]);
  const auto side = static_cast<uint64_t>(op.attributes[quantized_conv2d::kKernelSize]);
  const uint64_t channels = op.constants[quantized_conv2d::kInverseStep].bytes / sizeof(float);
  return op.constants[quantized_conv2d::kWeight].bytes == sizeof(int16_t) * out * side * side * channels;
}

Status build(const uint8_t* data, size_t size, ProgramBuilder* builder) {
  if (size < kHeaderBytes || memcmp(data, kMagic, 4) != 0)
    return failure(StatusCode::invalid_program,
                   "this is no bitsr program: expected 64 bytes or more that start with 'BSRP', got %zu bytes", size);
  Reader header = reader_at(data, size, 4);
  const uint32_t version = header.u32(), total = header.u32(), crc = header.u32();
  if (version > kProgramVersion)
    return failure(StatusCode::newer_version,
                   "the program has version %u, this library reads up to %u; update the library or export again",
                   version, kProgramVersion);
  if (version == 0)
    return failure(StatusCode::invalid_program, "the program has version 0, expected 1 to %u", kProgramVersion);
  if (total != size)
    return failure(StatusCode::invalid_program, "the program has %zu bytes, its header says %u; the file is damaged",
                   size, total);
  if (crc32(data + kHeaderBytes, size - kHeaderBytes) != crc)
    return failure(StatusCode::invalid_program, "the program's checksum is wrong; the file is damaged, export again");
  const uint32_t values = header.u32(), ops = header.u32(), inputs = header.u32(), outputs = header.u32();
  const uint32_t values_at = header.u32(), ops_at = header.u32(), inputs_at = header.u32(), outputs_at = header.u32();
  for (int i = 0; i < 4; ++i)
    if (header.u32() != 0)
      return failure(StatusCode::invalid_program, "the spare bytes of the header are not 0; the file is damaged");
  if (values > kMaxCount || ops > kMaxCount || inputs > kMaxCount || outputs > kMaxCount)
    return failure(StatusCode::invalid_program, "%u values, %u ops, %u inputs, %u outputs: more than %u", values, ops,
                   inputs, outputs, kMaxCount);
  const Status no_memory = failure(StatusCode::out_of_memory, "out of memory while reading the program");
  // The checksum covers what follows the header; that the tables touch each other covers the header's own numbers.
  const auto apart = [](const char* table) {
    return failure(StatusCode::invalid_program,
                   "the %s do not stand where the table before them ends; the file is damaged", table);
  };
  if (values_at != kHeaderBytes) return apart("values");
  if (ops_at != kHeaderBytes + kValueBytes * values) return apart("ops");
  Reader in = reader_at(data, size, values_at);
  if (!in.ok || values > (size - in.offset) / kValueBytes) return truncated("values");
  for (uint32_t i = 0; i < values; ++i) {
    const uint32_t kind = in.u32();
    if (static_cast<ValueKind>(kind) == ValueKind::pixels && version < kPixelsVersion)
      return failure(StatusCode::invalid_program, "value %u is of pixels, which programs of version %u do not have", i,
                     version);
    int32_t numbers[3];
    for (int32_t& number : numbers) number = static_cast<int32_t>(in.u32());
    if (!builder->add_value({static_cast<ValueKind>(kind), numbers[0], numbers[1], numbers[2]})) return no_memory;
  }
  for (uint32_t i = 0; i < ops; ++i) {
    OpSpec op;
    const Status status = read_op(&in, &op, static_cast<int32_t>(i));
    if (!status.ok()) return status;
    if (version < kPixelsVersion && has_wide_weights(op))
      return failure(StatusCode::invalid_program,
                     "op %u has weights of 16 bits, which programs of version %u do not have", i, version);
    if (!builder->add_op(op)) return no_memory;
  }
  if (inputs_at != in.offset) return apart("inputs");
  for (uint32_t i = 0; i < inputs && in.ok; ++i)
    if (!builder->add_input(id_of(in.u32()))) return no_memory;
  if (!in.ok) return truncated("inputs");
  if (outputs_at != in.offset) return apart("outputs");
  for (uint32_t i = 0; i < outputs && in.ok; ++i)
    if (!builder->add_output(id_of(in.u32()))) return no_memory;
  if (!in.ok) return truncated("outputs");
  // So a wrong output count does not go unnoticed either.
  for (size_t i = in.offset; i < size && i % kConstantAlignment != 0; ++i)
    if (data[i] != 0)
      return failure(StatusCode::invalid_program, "the bytes behind the outputs are not 0; the file is damaged");
  return {};
}

}  // namespace

Status Program::load(const void* blob, size_t size, Isa isa, Program** program) {
  *program = nullptr;
  ProgramBuilder builder;
  const Status status = build(static_cast<const uint8_t*>(blob), size, &builder);
  return status.ok() ? builder.finish(isa, program) : status;
}

}  // namespace bitsr
