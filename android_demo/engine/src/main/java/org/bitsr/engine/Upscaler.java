package org.bitsr.engine;

import android.content.res.AssetManager;
import android.graphics.Bitmap;

import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;

import org.bitsr.engine.jni.Listener;
import org.bitsr.engine.jni.Native;

/**
 * An open model (.pte or .tflite) that upscales pictures of any size, tile by tile.
 *
 * <p>Threads: opening and upscaling take time, so call them off the main thread. Any thread may call any method at any
 * time; calls of one upscaler take turns, those of different ones run side by side. {@link Progress} and {@link Rows}
 * are called on the thread that called {@code upscale}, and must not call the same upscaler. {@link #close} ends a call
 * that runs ({@link CancelledException} there) and returns when it is over; later calls throw
 * {@link IllegalStateException}.
 *
 * <p>Memory: the picture once more in its own size, one tile (of {@code tilePixels}) and one row of enlarged tiles.
 */
public final class Upscaler implements Closeable {
    /** Tiles of 256 x 256 pixels: little memory, and little of it computed twice. */
    public static final long TILE_PIXELS = 256 * 256;

    private final Object turn = new Object();
    private final ModelInfo info;
    private long session;
    private Thread caller;
    private volatile boolean closing;

    private Upscaler(long session) throws ArtifactException {
        this.session = session;
        try {
            info = new ModelInfo(session);
        } catch (ArtifactException error) {
            Native.close(session);
            throw error;
        }
    }

    /** Opens a file; a .pte's metadata is name.json beside name.pte. */
    public static Upscaler open(File file, EngineOptions options) throws BitsrException {
        Engine.require();
        long[] session = new long[1];
        return of(Native.open(Text.bytes(file.getPath()), options.threads, Text.bytes(options.isa),
                Text.bytes(options.runtime), Text.bytes(options.tfliteLibrary), Text.bytes(options.delegateLibrary),
                Text.bytes(options.executorchLibrary), session), session);
    }

    /** Opens an asset of the app; a .pte's metadata is the asset name.json beside name.pte. */
    public static Upscaler open(AssetManager assets, String name, EngineOptions options)
            throws IOException, BitsrException {
        String metadata = null;
        if (name.endsWith(".pte")) {
            String sidecar = name.substring(0, name.length() - ".pte".length()) + ".json";
            try (InputStream in = assets.open(sidecar)) {
                metadata = Text.of(read(in));
            } catch (FileNotFoundException error) {
                throw new ArtifactException("there is no " + sidecar + " beside " + name
                        + ", which says its scale; copy both files of the export");
            }
        }
        try (InputStream in = assets.open(name)) {
            return open(in, metadata, options);
        }
    }

    /** Opens what a stream gives; {@code metadata} is the text of a .pte's sidecar, null for a .tflite. */
    public static Upscaler open(InputStream content, String metadata, EngineOptions options)
            throws IOException, BitsrException {
        return open(read(content), metadata, options);
    }

    /** Opens what lies between position and limit, which stay as they are. The content is copied. */
    public static Upscaler open(ByteBuffer content, String metadata, EngineOptions options) throws BitsrException {
        byte[] bytes = new byte[content.remaining()];
        content.duplicate().get(bytes);
        return open(bytes, metadata, options);
    }

    private static Upscaler open(byte[] content, String metadata, EngineOptions options) throws BitsrException {
        Engine.require();
        long[] session = new long[1];
        return of(Native.openMemory(content, Text.bytes(metadata), options.threads, Text.bytes(options.isa),
                Text.bytes(options.runtime), Text.bytes(options.tfliteLibrary), Text.bytes(options.delegateLibrary),
                Text.bytes(options.executorchLibrary), session), session);
    }

    private static Upscaler of(int status, long[] session) throws BitsrException {
        if (status != Native.OK) {
            throw BitsrException.of(status);
        }
        return new Upscaler(session[0]);
    }

    private static byte[] read(InputStream in) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        byte[] part = new byte[1 << 16];
        for (int count = in.read(part); count >= 0; count = in.read(part)) {
            bytes.write(part, 0, count);
        }
        return bytes.toByteArray();
    }

    public ModelInfo info() {
        return info;
    }

    /**
     * Upscales pixels 0xAARRGGBB, alpha not multiplied in, and hands the enlargement on row by row: the pixels are those
     * of {@code bitsr upscale} for the same artifact.
     *
     * @param tilePixels pixels that the network gets at once, at most: see {@link #TILE_PIXELS}
     * @param progress may be null
     */
    public void upscale(int[] argb, int width, int height, long tilePixels, Rows rows, Progress progress)
            throws IOException, BitsrException {
        if (width < 1 || height < 1 || (long) width * height > argb.length) {
            throw new ArgumentException("the picture of " + width + "x" + height + " pixels comes in an array of "
                    + argb.length + ", expected " + (long) width * height);
        }
        synchronized (turn) {
            if (caller == Thread.currentThread()) {
                throw new IllegalStateException("a listener of upscale() called the same upscaler; it must not");
            }
            requireOpen();
            caller = Thread.currentThread();
            Guide guide = new Guide(rows, progress);
            int status;
            try {
                status = Native.upscale(session, argb, width, height, tilePixels, guide);
            } finally {
                caller = null;
            }
            guide.rethrow();
            if (status != Native.OK) {
                throw BitsrException.of(status);
            }
        }
    }

    /** Upscales pixels 0xAARRGGBB into an array of {@code scale * scale} times as many. */
    public int[] upscale(int[] argb, int width, int height, Progress progress) throws BitsrException {
        long count = (long) width * height * info.scale * info.scale;
        if (count > Integer.MAX_VALUE - 8) {
            throw new NotEnoughMemoryException("the enlargement has " + count
                    + " pixels, more than an array holds; take it row by row");
        }
        try {
            int[] result = new int[(int) Math.max(count, 0)];
            int stride = width * info.scale;
            upscale(argb, width, height, TILE_PIXELS,
                    (top, rows, part) -> System.arraycopy(part, 0, result, top * stride, rows * stride), progress);
            return result;
        } catch (IOException impossible) {
            throw new AssertionError(impossible);
        } catch (OutOfMemoryError error) {
            throw new NotEnoughMemoryException("the enlargement of " + count
                    + " pixels does not fit into memory; take it row by row");
        }
    }

    /** Upscales a bitmap into a new one of ARGB_8888; the given one is not changed. */
    public Bitmap upscale(Bitmap picture, Progress progress) throws BitsrException {
        int width = picture.getWidth(), scale = info.scale;
        try {
            Bitmap result = Bitmap.createBitmap(width * scale, picture.getHeight() * scale, Bitmap.Config.ARGB_8888);
            result.setHasAlpha(picture.hasAlpha());
            upscale(picture, TILE_PIXELS,
                    (top, rows, part) -> result.setPixels(part, 0, width * scale, 0, top, width * scale, rows), progress);
            return result;
        } catch (IOException impossible) {
            throw new AssertionError(impossible);
        } catch (OutOfMemoryError error) {
            throw new NotEnoughMemoryException("the enlargement of " + width + "x" + picture.getHeight()
                    + " pixels does not fit into memory; take it row by row");
        }
    }

    /** Upscales a bitmap and hands the enlargement on row by row. */
    public void upscale(Bitmap picture, long tilePixels, Rows rows, Progress progress)
            throws IOException, BitsrException {
        int width = picture.getWidth(), height = picture.getHeight();
        int[] argb;
        try {
            argb = new int[Math.multiplyExact(width, height)];
            // The pixels of a bitmap in the graphics memory can not be read where they are.
            Bitmap readable = picture.getConfig() == Bitmap.Config.HARDWARE
                    ? picture.copy(Bitmap.Config.ARGB_8888, false) : picture;
            readable.getPixels(argb, 0, width, 0, 0, width, height);
        } catch (OutOfMemoryError | ArithmeticException error) {
            throw new NotEnoughMemoryException("the pixels of the picture (" + width + "x" + height
                    + ") do not fit into memory; make it smaller");
        }
        upscale(argb, width, height, tilePixels, rows, progress);
    }

    /**
     * One call of the network: channels first, in its value range; for timing and parity.
     *
     * @param times null, or two places for its milliseconds: on the clock, and of all processors of the process
     */
    public float[] run(float[] map, int channels, int height, int width, double[] times) throws BitsrException {
        if ((long) channels * height * width != map.length || times != null && times.length < 2) {
            throw new ArgumentException("a map of " + channels + "x" + height + "x" + width + " comes in an array of "
                    + map.length + " values");
        }
        synchronized (turn) {
            requireOpen();
            float[] output = new float[map.length * info.scale * info.scale];
            int status = Native.run(session, map, channels, height, width, output, times);
            if (status != Native.OK) {
                throw BitsrException.of(status);
            }
            return output;
        }
    }

    private void requireOpen() {
        if (closing) {
            throw new IllegalStateException("the upscaler is closed; open the model again");
        }
    }

    @Override public void close() {
        if (caller == Thread.currentThread()) {
            throw new IllegalStateException("a listener of upscale() closed the same upscaler; return false instead");
        }
        closing = true;
        synchronized (turn) {
            if (session != 0) {
                Native.close(session);
                session = 0;
            }
        }
    }

    /** Passes the native calls on, and keeps what they throw for the caller. */
    private final class Guide implements Listener {
        private final Rows rows;
        private final Progress progress;
        private Throwable thrown;

        Guide(Rows rows, Progress progress) {
            this.rows = rows;
            this.progress = progress;
        }

        @Override public boolean progress(long done, long total) {
            try {
                return !closing && (progress == null || progress.advance(done, total));
            } catch (Throwable error) {
                thrown = error;
                return false;
            }
        }

        @Override public boolean rows(int top, int count, int[] argb) {
            try {
                rows.accept(top, count, argb);
                return true;
            } catch (Throwable error) {
                thrown = error;
                return false;
            }
        }

        void rethrow() throws IOException {
            if (thrown instanceof IOException) {
                throw (IOException) thrown;
            } else if (thrown instanceof RuntimeException) {
                throw (RuntimeException) thrown;
            } else if (thrown instanceof Error) {
                throw (Error) thrown;
            }
        }
    }
}
