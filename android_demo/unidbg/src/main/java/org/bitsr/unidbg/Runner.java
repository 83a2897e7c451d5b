package org.bitsr.unidbg;

import com.github.unidbg.Module;
import com.github.unidbg.pointer.UnidbgPointer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * {@code bitsr-run} in an Android process: {@code Runner PROCESSOR ROOT LIBRARIES ARGUMENT...}. Paths among the arguments
 * are below ROOT. Ends with the program's exit code; 70: the process itself came to grief. The property
 * {@code bitsr.count} names a library whose instructions are counted ({@link Counter}), as lines {@code count KIND=N}.
 */
public final class Runner {
    private static final int GRIEF = 70;

    private Runner() {}

    public static void main(String[] words) {
        int code;
        try {
            Path root = Path.of(words[1]), libraries = Path.of(words[2]);
            code = run(Processor.named(words[0]), root, libraries, Arrays.asList(words).subList(3, words.length));
        } catch (Exception | Error failure) {
            System.err.println("bitsr-run: error: " + failure);
            code = GRIEF;
        }
        System.out.flush();
        System.err.flush();
        // Threads of the emulator would keep the machine alive.
        Runtime.getRuntime().halt(code);
    }

    private static int run(Processor processor, Path root, Path libraries, List<String> arguments) throws Exception {
        String counted = System.getProperty("bitsr.count");
        try (Phone phone = new Phone(processor, counted != null, root, libraries, null)) {
            // What the program opens by name is there already: unidbg runs constructors best from here.
            for (String name : opened(root, arguments)) phone.load(name);
            Module program = phone.load("emulated/libbitsr_run.so");
            List<String> words = new ArrayList<>(List.of("bitsr-run"));
            words.addAll(arguments);
            UnidbgPointer table = phone.copy(new byte[8 * (words.size() + 1)]);
            for (int i = 0; i < words.size(); ++i)
                table.setPointer(8L * i, phone.copy((words.get(i) + "\0").getBytes(StandardCharsets.UTF_8)));
            Counter counter = counted == null ? null
                    : new Counter(phone.emulator.getBackend(), phone.emulator.getMemory().findModule(counted));
            long result = program.callFunction(phone.emulator, "main", words.size(), table).intValue();
            if (counter != null)
                counter.counts().forEach((kind, count) -> System.out.println("count " + kind + "=" + count));
            return result >= 0 && result <= 2 ? (int) result : GRIEF;
        }
    }

    /** The libraries that the runner opens for the artifacts among its arguments. */
    private static List<String> opened(Path root, List<String> arguments) throws Exception {
        List<String> names = new ArrayList<>();
        for (String argument : arguments) {
            Path file = root.resolve(argument.replaceFirst("@[a-z0-9]+$", "").replaceFirst("^/+", ""));
            if (!Files.isRegularFile(file)) continue;
            if (argument.contains(".tflite")) names.addAll(List.of("libtensorflowlite_jni.so", "libbitsr_tflite.so"));
            if (argument.contains(".pte")) names.add("libbitsr_pte.so");
        }
        return names.stream().distinct().toList();
    }
}
