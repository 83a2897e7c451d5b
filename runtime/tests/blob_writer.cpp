#include "blob_writer.h"

#include <cstring>

namespace bitsr_test {

uint32_t crc32(const void* data, size_t size) {
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < size; ++i) {
    crc ^= static_cast<const uint8_t*>(data)[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
  }
  return crc ^ 0xffffffffu;
}

uint32_t get_u32(const Bytes& blob, size_t at) {
  uint32_t value;
  std::memcpy(&value, &blob.at(at), 4);
  return value;
}

void put_u32(Bytes* blob, size_t at, uint32_t value) { std::memcpy(&blob->at(at), &value, 4); }

void seal(Bytes* blob) {
  put_u32(blob, kBytesAt, static_cast<uint32_t>(blob->size()));
  put_u32(blob, kCrcAt, crc32(blob->data() + kHeaderBytes, blob->size() - kHeaderBytes));
}

Bytes write_blob(const Net& net) {
  Bytes blob(kHeaderBytes);
  const auto put = [&](size_t value) {
    blob.resize(blob.size() + 4);
    put_u32(&blob, blob.size() - 4, static_cast<uint32_t>(value));
  };
  std::memcpy(blob.data(), "BSRP", 4);
  put_u32(&blob, kVersionAt, 1);
  const size_t counts[] = {net.values.size(), net.ops.size(), net.inputs.size(), net.outputs.size()};
  for (size_t i = 0; i < 4; ++i) put_u32(&blob, kValueCountAt + 4 * i, static_cast<uint32_t>(counts[i]));
  const auto section = [&](HeaderField field) { put_u32(&blob, field, static_cast<uint32_t>(blob.size())); };
  section(kValuesAt);
  for (const NetValue& v : net.values) {
    put(static_cast<size_t>(v.kind));
    for (const int number : {v.channels, v.up, v.down}) put(static_cast<size_t>(number));
  }
  section(kOpsAt);
  std::vector<size_t> constants_at;  // of every constant, where its (offset, bytes) stand
  for (const NetOp& op : net.ops) {
    for (const size_t word :
         {static_cast<size_t>(op.kind), op.inputs.size(), op.outputs.size(), op.constants.size(), op.attributes.size()})
      put(word);
    for (const int id : op.inputs) put(static_cast<size_t>(id));  // kNone becomes 0xffffffff
    for (const int id : op.outputs) put(static_cast<size_t>(id));
    for (size_t i = 0; i < op.constants.size(); ++i) {
      constants_at.push_back(blob.size());
      put(0xffffffffu);
      put(0);
    }
    for (const int attribute : op.attributes) put(static_cast<size_t>(attribute));
  }
  section(kInputsAt);
  for (const int id : net.inputs) put(static_cast<size_t>(id));
  section(kOutputsAt);
  for (const int id : net.outputs) put(static_cast<size_t>(id));
  size_t next = 0;
  for (const NetOp& op : net.ops)
    for (const Bytes& constant : op.constants) {
      const size_t at = constants_at[next++];
      if (constant.empty()) continue;
      blob.resize((blob.size() + 63) / 64 * 64);
      put_u32(&blob, at, static_cast<uint32_t>(blob.size()));
      put_u32(&blob, at + 4, static_cast<uint32_t>(constant.size()));
      blob.insert(blob.end(), constant.begin(), constant.end());
    }
  seal(&blob);
  return blob;
}

}  // namespace bitsr_test
