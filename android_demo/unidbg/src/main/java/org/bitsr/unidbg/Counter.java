package org.bitsr.unidbg;

import com.github.unidbg.Module;
import com.github.unidbg.arm.backend.Backend;
import com.github.unidbg.arm.backend.BlockHook;
import com.github.unidbg.arm.backend.UnHook;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Counts instructions that a library's code ran, of kinds by which XNNPACK's kernels for different processors are told
 * apart: {@code sdot} are integer dot products, {@code ins} moves 64 bits of a general register into a vector, as only
 * the kernels for in-order cores such as the Cortex-A53 load their input.
 */
final class Counter implements BlockHook {
    private static final int WORD = 4;

    private final Backend backend;
    private final Map<Long, long[]> blocks = new HashMap<>(); // by address: bytes, runs

    Counter(Backend backend, Module library) {
        this.backend = backend;
        backend.hook_add_new(this, library.base, library.base + library.size, null);
    }

    @Override
    public void hookBlock(Backend from, long address, int size, Object user) {
        blocks.computeIfAbsent(address, key -> new long[] {size, 0})[1] += 1;
    }

    @Override
    public void onAttach(UnHook unHook) {}

    @Override
    public void detach() {}

    /** How often each kind ran. */
    Map<String, Long> counts() {
        Map<String, Long> counts = new LinkedHashMap<>(Map.of("sdot", 0L, "ins", 0L));
        for (var block : blocks.entrySet()) {
            byte[] code = backend.mem_read(block.getKey(), block.getValue()[0]);
            for (int at = 0; at + WORD <= code.length; at += WORD) {
                int word = (code[at] & 255) | (code[at + 1] & 255) << 8 | (code[at + 2] & 255) << 16 | code[at + 3] << 24;
                String kind = kind(word);
                if (kind != null) counts.merge(kind, block.getValue()[1], Long::sum);
            }
        }
        return counts;
    }

    private static String kind(int word) {
        boolean vector = (word & 0xbfe0fc00) == 0x0e809400, element = (word & 0xbf00f400) == 0x0f00e000;
        if (vector || element) return "sdot";
        return (word & 0xfffffc00) == 0x4e181c00 ? "ins" : null;
    }
}
