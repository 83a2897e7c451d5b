// A plugin of qemu-aarch64 (-plugin libbitsr_block_counter.so,out=FILE): which blocks of instructions ran, and how
// often.
//
// When the emulated program ends, FILE has a line for each block that ran: address (hexadecimal), instructions, runs.
// Blocks may overlap, because a jump into the middle of one begins another; each run counts once. Counts are exact.
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "qemu_plugin_abi.h"

namespace {

struct Block {
  uint64_t address;
  size_t instructions;
  uint64_t runs = 0;
};

std::string output;
std::mutex guard;
std::deque<Block> blocks;  // whose elements never move: translated code adds to `runs`
std::map<std::pair<uint64_t, size_t>, Block*> known;

void translated(qemu_plugin_id_t /*id*/, qemu_plugin_tb* block) {
  const uint64_t address = qemu_plugin_tb_vaddr(block);
  const size_t instructions = qemu_plugin_tb_n_insns(block);
  const std::lock_guard<std::mutex> lock(guard);
  Block*& counted = known[{address, instructions}];
  if (!counted) {
    blocks.push_back({address, instructions});
    counted = &blocks.back();
  }
  qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &counted->runs, 1);
}

void ended(qemu_plugin_id_t /*id*/, void* /*data*/) {
  std::FILE* file = std::fopen(output.c_str(), "w");
  if (!file) {
    std::fprintf(stderr, "block_counter: %s can not be written; name a writable file by out=FILE\n", output.c_str());
    return;
  }
  for (const Block& block : blocks)
    if (block.runs) std::fprintf(file, "%" PRIx64 " %zu %" PRIu64 "\n", block.address, block.instructions, block.runs);
  std::fclose(file);
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) extern const int qemu_plugin_version = QEMU_PLUGIN_VERSION;

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t* /*info*/,
                                                               int count, char** arguments) {
  for (int i = 0; i < count; ++i)
    if (std::strncmp(arguments[i], "out=", 4) == 0) output = arguments[i] + 4;
  if (output.empty()) {
    std::fprintf(stderr, "block_counter: expected out=FILE, got no file; write -plugin PLUGIN,out=FILE\n");
    return 1;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, ended, nullptr);
  return 0;
}
}
