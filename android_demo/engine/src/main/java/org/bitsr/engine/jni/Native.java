package org.bitsr.engine.jni;

/**
 * The C ABI ({@code bitsr/capi.h}) as it is, for {@code org.bitsr.engine} alone. Text is UTF-8 bytes; a call that can
 * fail gives its status, and {@link #lastError()} on the same thread says why. The class uses types of {@code java.*}
 * only, so that a test can keep it outside of a sandbox: a library can be loaded by one class loader of a process.
 */
public final class Native {
    /** Statuses of the C ABI. */
    public static final int OK = 0, FILE = 1, FORMAT = 2, MODEL = 3, UNSUPPORTED = 4, ARGUMENT = 5, MEMORY = 6,
            RUNTIME = 7, CANCELLED = 8, FRAMEWORK = 9;
    /** Statuses of the border itself, for which {@link #lastError()} says nothing. */
    public static final int NO_MEMORY = 100, BAD_ARRAYS = 101;

    /** What {@link #text} gives. */
    public static final int FORMAT_NAME = 0, RUNTIME_NAME = 1, RUNTIME_VERSION = 2, ISA = 3, METADATA = 4;

    /** What {@link #number} gives; the input's shape is N, C, H, W from {@code INPUT_SHAPE} on. */
    public static final int ARTIFACT_BYTES = 0, THREADS = 1, SCALE = 2, IN_CHANNELS = 3, OUT_CHANNELS = 4,
            MIN_SIDE = 5, MULTIPLE = 6, MAX_PIXELS = 7, RECEPTIVE_FIELD_RADIUS = 8, INPUT_SHAPE = 9, OTHER_INPUTS = 13;

    /** Names the library's file where it is no part of an APK: tests on a host. */
    public static final String LIBRARY_PROPERTY = "org.bitsr.engine.library";

    private static final Throwable FAILURE = load();

    private Native() {}

    private static Throwable load() {
        try {
            String path = System.getProperty(LIBRARY_PROPERTY);
            if (path != null) {
                System.load(path);
            } else {
                System.loadLibrary("bitsr_jni");
            }
            return null;
        } catch (UnsatisfiedLinkError | SecurityException error) {
            return error;
        }
    }

    /** Why the library did not load; null when it did. */
    public static Throwable failure() {
        return FAILURE;
    }

    public static native byte[] version();

    public static native byte[] compiler();

    /** Instruction sets of this processor, the fastest first, separated by commas. */
    public static native byte[] isaNames();

    public static native byte[] lastError();

    /** {@code handle[0]} becomes the session. Null texts are the defaults of the C ABI. */
    public static native int open(byte[] path, int threads, byte[] isa, byte[] runtime, byte[] litert, byte[] delegate,
            byte[] pte, long[] handle);

    public static native int openMemory(byte[] content, byte[] metadata, int threads, byte[] isa, byte[] runtime,
            byte[] litert, byte[] delegate, byte[] pte, long[] handle);

    public static native void close(long handle);

    public static native byte[] text(long handle, int which);

    public static native long number(long handle, int which);

    /** Pixels are 0xAARRGGBB, row by row; the enlargement goes to the listener. */
    public static native int upscale(long handle, int[] argb, int width, int height, long tilePixels,
            Listener listener);

    /** One call of the network; {@code times} (or null) gets its milliseconds, on the clock and of all processors. */
    public static native int run(long handle, float[] input, int channels, int height, int width, float[] output,
            double[] times);

    /** A program of one op on golden inputs; shapes are N, C, H, W of each tensor, values lie one after another. */
    public static native int replay(byte[] blob, byte[] isa, float[] inputs, int[] inputShapes, float[] outputs,
            int[] outputShapes);

    public static native int setProcessThreads(int threads, byte[] pte);

    public static native long peakBytes();
}
