package org.bitsr.engine;

/** Is told how far an upscaling is, on the thread that called it, and can end it. */
public interface Progress {
    /**
     * @param done pixels of the picture that are done
     * @param total pixels of the picture
     * @return true to go on; false ends the call with {@link CancelledException}
     */
    boolean advance(long done, long total);
}
