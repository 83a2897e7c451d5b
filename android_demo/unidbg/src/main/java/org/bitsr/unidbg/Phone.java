package org.bitsr.unidbg;

import com.github.unidbg.AndroidEmulator;
import com.github.unidbg.Emulator;
import com.github.unidbg.Module;
import com.github.unidbg.debugger.Breaker;
import com.github.unidbg.file.FileResult;
import com.github.unidbg.file.linux.AndroidFileIO;
import com.github.unidbg.linux.LinuxModule;
import com.github.unidbg.linux.android.AndroidARM64Emulator;
import com.github.unidbg.linux.android.AndroidResolver;
import com.github.unidbg.linux.android.ElfLibraryFile;
import com.github.unidbg.linux.file.ByteArrayFileIO;
import com.github.unidbg.memory.Memory;
import com.github.unidbg.memory.SvcMemory;
import com.github.unidbg.pointer.UnidbgPointer;
import com.github.unidbg.spi.LibraryFile;
import com.github.unidbg.spi.SyscallHandler;
import com.github.unidbg.unix.UnixSyscallHandler;
import com.github.unidbg.virtualmodule.VirtualModule;
import com.github.unidbg.virtualmodule.android.AndroidModule;
import com.github.unidbg.linux.android.dvm.VM;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** One arm64 process of Android 6 on this machine: a genuine bionic on an emulated processor. */
final class Phone implements AutoCloseable {
    private static final int API = 23; // of the C library that unidbg brings
    private static final int AT_HWCAP = 16;

    final AndroidEmulator emulator;
    final VM vm;
    private final Path libraries;

    /**
     * @param root the folder that the process sees as "/"
     * @param libraries where the libraries of our build are; may be null where an APK has them
     * @param apk the app whose process it is, or null
     */
    Phone(Processor processor, boolean counting, Path root, Path libraries, Path apk) {
        this.libraries = libraries;
        Path folder = root.toAbsolutePath().normalize();
        emulator = new AndroidARM64Emulator("org.bitsr", folder.toFile(), List.of(processor.backend(counting))) {
            @Override
            protected UnixSyscallHandler<AndroidFileIO> createSyscallHandler(SvcMemory memory) {
                return new Kernel(memory, folder);
            }
        };
        tellCapabilities(processor.capabilities());
        Memory memory = emulator.getMemory();
        memory.setLibraryResolver(new OurLibraries());
        Map<String, String> files = processor.files();
        SyscallHandler<AndroidFileIO> system = emulator.getSyscallHandler();
        system.addIOResolver((e, path, flags) -> !files.containsKey(path) ? null
                : FileResult.<AndroidFileIO>success(
                        new ByteArrayFileIO(flags, path, files.get(path).getBytes(StandardCharsets.US_ASCII))));
        system.setEnableThreadDispatcher(true); // or the first pthread_join() waits for ever
        system.setBreaker(new Failing()); // or an undefined instruction opens a debugger on the standard input
        vm = apk == null ? emulator.createDalvikVM() : emulator.createDalvikVM(apk.toFile());
        new AndroidModule(emulator, vm).register(memory); // libandroid.so
        // Since API 24, and the runtimes are built for later ones: write() with a check of the room before it.
        Module libc = memory.load(new AndroidResolver(API).resolveLibrary(emulator, "libc.so"), true);
        UnidbgPointer write = UnidbgPointer.pointer(emulator, libc.findSymbolByName("write", false).getAddress());
        new Later(Map.of("__write_chk", write)).register(memory);
    }

    /** Names that later versions of libc have. */
    private final class Later extends VirtualModule<Map<String, UnidbgPointer>> {
        Later(Map<String, UnidbgPointer> names) {
            super(Phone.this.emulator, names, "libbitsr_later.so");
        }

        @Override
        protected void onInitialize(Emulator<?> emulator, Map<String, UnidbgPointer> names,
                Map<String, UnidbgPointer> symbols) {
            symbols.putAll(names);
        }
    }

    /** Libraries of the build before those of the system, whatever folder a path names. */
    private final class OurLibraries extends AndroidResolver {
        OurLibraries() {
            super(API);
        }

        @Override
        public LibraryFile resolveLibrary(Emulator<?> emulator, String name) {
            Path file = libraries == null ? null : libraries.resolve(new File(name).getName());
            return file != null && Files.isRegularFile(file) ? new ElfLibraryFile(file.toFile(), true)
                    : super.resolveLibrary(emulator, name);
        }
    }

    private static final class Failing implements Breaker {
        @Override
        public void debug() {
            throw new IllegalStateException("the process ran an undefined instruction or was ended by a signal");
        }

        @Override
        public void brk(UnidbgPointer at, int number) {
            throw new IllegalStateException("the process ended itself at " + at);
        }
    }

    /** getauxval() knows only the page size: what the processor can do is added before bionic's constructors look. */
    private void tellCapabilities(long bits) {
        UnidbgPointer environment =
                UnidbgPointer.pointer(emulator, emulator.getMemory().dlsym(-1, "environ").getAddress());
        UnidbgPointer auxiliary = environment.getPointer(8);
        int end = 0;
        while (auxiliary.getLong(end) != 0) end += 16;
        auxiliary.setLong(end, AT_HWCAP);
        auxiliary.setLong(end + 8, bits);
    }

    /** Loads a library with what it needs, and runs the constructors. */
    Module load(String name) {
        Module loaded = emulator.getMemory().load(libraries.resolve(name).toFile(), true);
        requireSymbols();
        return loaded;
    }

    /** A library that lacks a symbol runs none of its constructors, and only a log would say so. */
    void requireSymbols() {
        for (Module module : emulator.getMemory().getLoadedModules()) {
            var missing = module instanceof LinuxModule ? ((LinuxModule) module).getUnresolvedSymbol() : List.of();
            if (!missing.isEmpty()) throw new IllegalStateException(module.name + " lacks " + missing);
        }
    }

    UnidbgPointer copy(byte[] bytes) {
        UnidbgPointer memory = emulator.getMemory().malloc(bytes.length, true).getPointer();
        memory.write(0, bytes, 0, bytes.length);
        return memory;
    }

    @Override
    public void close() throws IOException {
        emulator.close();
    }
}
