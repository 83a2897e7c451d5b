package org.bitsr.engine;

/** The call does not fit the model, or its arguments do not fit each other. */
public final class ArgumentException extends BitsrException {
    ArgumentException(String message) {
        super(message);
    }
}
