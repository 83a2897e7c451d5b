// The part of QEMU's C interface for plugins (version 1, QEMU 7.2) that counting blocks needs, declared anew: Debian
// ships no header. Names are QEMU's (include/qemu/qemu-plugin.h).
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

using qemu_plugin_id_t = uint64_t;
struct qemu_info_t;
struct qemu_plugin_tb;
enum qemu_plugin_op : int { QEMU_PLUGIN_INLINE_ADD_U64 = 0 };
constexpr int QEMU_PLUGIN_VERSION = 1;

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t, qemu_plugin_tb*));
void qemu_plugin_register_vcpu_tb_exec_inline(qemu_plugin_tb* block, qemu_plugin_op op, void* counter, uint64_t added);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t, void*), void* data);
size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb* block);
uint64_t qemu_plugin_tb_vaddr(const qemu_plugin_tb* block);
}
