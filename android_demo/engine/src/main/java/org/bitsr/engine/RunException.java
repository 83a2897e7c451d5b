package org.bitsr.engine;

/** The network failed while it ran. */
public final class RunException extends BitsrException {
    RunException(String message) {
        super(message);
    }
}
