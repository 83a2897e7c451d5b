package org.bitsr.engine;

import java.nio.charset.StandardCharsets;

import org.bitsr.engine.jni.Native;

/** What the engine refuses or fails at. The message says what was expected, what came, and what to do. */
public abstract class BitsrException extends Exception {
    BitsrException(String message) {
        super(message);
    }

    /** The exception of a status of {@link Native} that is not {@code OK}; reads the error of this thread. */
    static BitsrException of(int status) {
        if (status == Native.NO_MEMORY) {
            return new NotEnoughMemoryException("there is no memory for a copy of the arrays; close what is not needed");
        }
        if (status == Native.BAD_ARRAYS) {
            return new ArgumentException("the arrays do not hold what the sizes say; check width and height");
        }
        String message = new String(Native.lastError(), StandardCharsets.UTF_8);
        switch (status) {
            case Native.FILE:
            case Native.FORMAT:
            case Native.MODEL:
                return new ArtifactException(message);
            case Native.UNSUPPORTED:
            case Native.FRAMEWORK:
                return new UnsupportedException(message);
            case Native.ARGUMENT:
                return new ArgumentException(message);
            case Native.MEMORY:
                return new NotEnoughMemoryException(message);
            case Native.CANCELLED:
                return new CancelledException("the work was cancelled");
            default:
                return new RunException(message);
        }
    }
}
