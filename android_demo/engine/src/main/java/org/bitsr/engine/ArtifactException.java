package org.bitsr.engine;

/** The artifact can not be read, is damaged, is newer than this engine, or its runtime refuses it. */
public final class ArtifactException extends BitsrException {
    ArtifactException(String message) {
        super(message);
    }
}
