package org.bitsr.engine;

/** This app or this device lacks a runtime, a library or an instruction set. */
public final class UnsupportedException extends BitsrException {
    UnsupportedException(String message) {
        super(message);
    }
}
