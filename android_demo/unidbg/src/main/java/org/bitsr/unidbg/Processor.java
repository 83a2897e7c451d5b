package org.bitsr.unidbg;

import com.github.unidbg.arm.backend.BackendFactory;
import com.github.unidbg.arm.backend.DynarmicFactory;
import com.github.unidbg.arm.backend.Unicorn2Factory;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * A processor as programs see it: in the hardware capabilities, and in /proc/cpuinfo, which XNNPACK believes more. The
 * emulators compute what a Cortex-A53 can; what a Cortex-A76 can beyond that only unicorn does, slowly.
 */
enum Processor {
    CORTEX_A53("0xd03", "fp asimd aes pmull sha1 sha2 crc32"),
    CORTEX_A76("0xd0b", "fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp asimdrdm lrcpc asimddp");

    static final int CORES = 4;
    /** Bits of AT_HWCAP by the names that Linux has for them. */
    private static final Map<String, Integer> BITS = Map.ofEntries(Map.entry("fp", 0), Map.entry("asimd", 1),
            Map.entry("aes", 3), Map.entry("pmull", 4), Map.entry("sha1", 5), Map.entry("sha2", 6),
            Map.entry("crc32", 7), Map.entry("atomics", 8), Map.entry("fphp", 9), Map.entry("asimdhp", 10),
            Map.entry("asimdrdm", 12), Map.entry("lrcpc", 15), Map.entry("asimddp", 20));

    private final String part;
    private final String features;

    Processor(String part, String features) {
        this.part = part;
        this.features = features;
    }

    /** "cortex-a53". */
    static Processor named(String name) {
        return valueOf(name.toUpperCase(Locale.ROOT).replace('-', '_'));
    }

    /** @param counting whether instructions are to be counted, which only unicorn can */
    BackendFactory backend(boolean counting) {
        return counting || this != CORTEX_A53 ? new Unicorn2Factory(false) : new DynarmicFactory(false);
    }

    long capabilities() {
        long bits = 0;
        for (String name : features.split(" ")) bits |= 1L << BITS.get(name);
        return bits;
    }

    /** Files of the kernel, by their paths. */
    Map<String, String> files() {
        StringBuilder info = new StringBuilder(), statistics = new StringBuilder("cpu  0 0 0 0\n");
        for (int core = 0; core < CORES; ++core) {
            statistics.append("cpu").append(core).append(" 0 0 0 0\n"); // where sysconf() counts
            info.append("processor\t: ").append(core).append("\nFeatures\t: ").append(features)
                    .append("\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: ")
                    .append(part).append("\nCPU revision\t: 4\n\n");
        }
        info.append("Hardware\t: emulated ").append(name().replace("CORTEX_", "Cortex-")).append('\n');
        Map<String, String> files = new LinkedHashMap<>();
        files.put("/proc/cpuinfo", info.toString());
        files.put("/proc/stat", statistics.toString());
        files.put("/sys/devices/system/cpu/kernel_max", "7\n");
        for (String list : List.of("possible", "present", "online"))
            files.put("/sys/devices/system/cpu/" + list, "0-" + (CORES - 1) + "\n");
        return files;
    }
}
