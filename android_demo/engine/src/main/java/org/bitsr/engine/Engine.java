package org.bitsr.engine;

import org.bitsr.engine.jni.Native;

/** What concerns the engine as a whole. */
public final class Engine {
    private Engine() {}

    /** @throws UnsupportedException the native library is missing, or was built for another processor */
    static void require() throws UnsupportedException {
        if (Native.failure() != null) {
            throw new UnsupportedException("the native library libbitsr_jni.so does not load: "
                    + Native.failure().getMessage() + "; the app must hold it for the processor of this device");
        }
    }

    /** "1.2.3". */
    public static String version() throws UnsupportedException {
        require();
        return Text.of(Native.version());
    }

    /** What built the native side: name and version of the compiler. */
    public static String compiler() throws UnsupportedException {
        require();
        return Text.of(Native.compiler());
    }

    /** The instruction sets with kernels that this processor has, the fastest first. */
    public static String[] instructionSets() throws UnsupportedException {
        require();
        return Text.of(Native.isaNames()).split(",");
    }

    /**
     * The threads of ExecuTorch's pool, which all of the process shares. For apps that own their process, while no .pte
     * of several threads is open.
     */
    public static void setProcessThreads(int threads, EngineOptions options) throws BitsrException {
        require();
        int status = Native.setProcessThreads(threads, Text.bytes(options.executorchLibrary));
        if (status != Native.OK) {
            throw BitsrException.of(status);
        }
    }

    /** The most memory that this process ever held, in bytes. */
    public static long peakMemory() throws UnsupportedException {
        require();
        return Native.peakBytes();
    }

    /**
     * Runs a program of one op (docs/formats.md, "Program blob") on golden inputs, for parity checks.
     *
     * @param isa an instruction set, or "auto"
     * @param inputs the values of all inputs, one after another; their shapes N, C, H, W one after another
     * @param outputShapes likewise of the results
     * @return the values of all results, one after another
     */
    public static float[] replay(byte[] program, String isa, float[] inputs, int[] inputShapes, int[] outputShapes)
            throws BitsrException {
        require();
        int count = 0;
        for (int i = 0; i + 4 <= outputShapes.length; i += 4) {
            count += outputShapes[i] * outputShapes[i + 1] * outputShapes[i + 2] * outputShapes[i + 3];
        }
        float[] outputs = new float[count];
        int status = Native.replay(program, Text.bytes(isa), inputs, inputShapes, outputs, outputShapes);
        if (status != Native.OK) {
            throw BitsrException.of(status);
        }
        return outputs;
    }
}
