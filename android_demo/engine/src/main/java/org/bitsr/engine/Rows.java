package org.bitsr.engine;

import java.io.IOException;

/** Takes an enlargement piece by piece, so that nobody holds the whole of it. */
public interface Rows {
    /**
     * @param top first row of the piece; pieces come from top to bottom without gaps
     * @param count rows of the piece
     * @param argb {@code count * width} pixels 0xAARRGGBB, alpha not multiplied in; the receiver may keep the array
     * @throws IOException ends the call, which throws it again
     */
    void accept(int top, int count, int[] argb) throws IOException;
}
