package org.bitsr.engine;

/** There is not enough memory; a smaller picture or a smaller tile takes less. */
public final class NotEnoughMemoryException extends BitsrException {
    NotEnoughMemoryException(String message) {
        super(message);
    }
}
