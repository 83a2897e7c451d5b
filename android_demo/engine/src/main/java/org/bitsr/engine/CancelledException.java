package org.bitsr.engine;

/** A listener, or the end of the upscaler, ended the call. */
public final class CancelledException extends BitsrException {
    CancelledException(String message) {
        super(message);
    }
}
