package org.bitsr.unidbg;

import com.github.unidbg.Emulator;
import com.github.unidbg.arm.context.RegisterContext;
import com.github.unidbg.file.linux.AndroidFileIO;
import com.github.unidbg.linux.ARM64SyscallHandler;
import com.github.unidbg.memory.SvcMemory;
import com.github.unidbg.pointer.UnidbgPointer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import unicorn.Arm64Const;

/** The system calls that unidbg refuses, or answers with nothing. Paths are below the folder of the device. */
final class Kernel extends ARM64SyscallHandler {
    private static final int MKDIRAT = 34, UNLINKAT = 35, RENAMEAT = 38, CLOCK_GETTIME = 113, SCHED_GETAFFINITY = 123,
            UNAME = 160, PRCTL = 167;
    private static final int ENOENT = 2, EEXIST = 17, EINVAL = 22;
    private static final int UNAME_FIELD = 65;
    private static final int CLOCK_PROCESS_CPUTIME = 2, CLOCK_THREAD_CPUTIME = 3, PR_SVE_GET_VL = 51;

    private final Path root;

    Kernel(SvcMemory memory, Path root) {
        super(memory);
        this.root = root;
    }

    @Override
    protected boolean handleSyscall(Emulator<?> emulator, int number) {
        RegisterContext call = emulator.getContext();
        long result;
        switch (number) {
            case MKDIRAT:
                result = result(EEXIST, () -> Files.createDirectory(path(call.getPointerArg(1))));
                break;
            case UNLINKAT:
                result = result(ENOENT, () -> Files.delete(path(call.getPointerArg(1))));
                break;
            case RENAMEAT:
                result = result(ENOENT, () -> Files.move(path(call.getPointerArg(1)), path(call.getPointerArg(3)),
                        StandardCopyOption.REPLACE_EXISTING));
                break;
            case CLOCK_GETTIME:
                int clock = call.getIntArg(0);
                if (clock != CLOCK_PROCESS_CPUTIME && clock != CLOCK_THREAD_CPUTIME) return false;
                UnidbgPointer time = call.getPointerArg(1);
                long now = System.nanoTime(); // an emulated processor's times say nothing
                time.setLong(0, now / 1_000_000_000);
                time.setLong(8, now % 1_000_000_000);
                result = 0;
                break;
            case UNAME:
                String[] names = {"Linux", "localhost", "3.10.0", "#1", "aarch64", ""};
                for (int i = 0; i < names.length; ++i) call.getPointerArg(0).setString((long) UNAME_FIELD * i, names[i]);
                result = 0;
                break;
            case SCHED_GETAFFINITY:
                call.getPointerArg(2).setLong(0, (1L << Processor.CORES) - 1);
                result = 8;
                break;
            case PRCTL:
                if (call.getIntArg(0) < PR_SVE_GET_VL) return false;
                result = -EINVAL;
                break;
            default:
                return false;
        }
        emulator.getBackend().reg_write(Arm64Const.UC_ARM64_REG_X0, result);
        return true;
    }

    private Path path(UnidbgPointer text) {
        Path path = root.resolve(text.getString(0).replaceFirst("^/+", "")).normalize();
        if (!path.startsWith(root)) throw new IllegalArgumentException("a path outside of the device: " + path);
        return path;
    }

    private interface Action {
        void run() throws IOException;
    }

    private static long result(int error, Action action) {
        try {
            action.run();
            return 0;
        } catch (IOException failure) {
            return -error;
        }
    }
}
