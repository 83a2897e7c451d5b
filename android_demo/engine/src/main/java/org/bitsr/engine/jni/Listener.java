package org.bitsr.engine.jni;

/** Calls of {@link Native#upscale} on its own thread; false ends the work. */
public interface Listener {
    boolean progress(long done, long total);

    /** {@code count} finished rows from row {@code top} on; the array is the listener's. */
    boolean rows(int top, int count, int[] argb);
}
