package org.bitsr.demo;

import android.content.Context;
import android.system.ErrnoException;
import android.system.OsConstants;

import org.bitsr.engine.ArtifactException;
import org.bitsr.engine.NotEnoughMemoryException;
import org.bitsr.engine.RunException;
import org.bitsr.engine.UnsupportedException;

/** Puts exceptions into words. */
final class Failures {
    private Failures() {}

    /** Of opening a model or running it. */
    static Failure of(Context context, Throwable error) {
        String message = String.valueOf(error.getMessage());
        if (error instanceof Failure) {
            return (Failure) error;
        }
        if (error instanceof OutOfMemoryError || error instanceof NotEnoughMemoryException) {
            return new Failure(context.getString(R.string.fail_memory), context.getString(R.string.fail_memory_hint), error);
        }
        if (error instanceof ArtifactException) {
            return new Failure(context.getString(R.string.fail_model),
                    context.getString(R.string.fail_model_hint, message), error);
        }
        if (error instanceof UnsupportedException) {
            return new Failure(context.getString(R.string.fail_unsupported),
                    context.getString(R.string.fail_model_hint, message), error);
        }
        if (error instanceof RunException) {
            return new Failure(context.getString(R.string.fail_run),
                    context.getString(R.string.fail_model_hint, message), error);
        }
        return new Failure(context.getString(R.string.fail_unexpected), message, error);
    }

    /** Of writing the result of {@code bytes} bytes. */
    static Failure ofSaving(Context context, Throwable error, long bytes) {
        if (error instanceof Failure) {
            return (Failure) error;
        }
        if (noSpace(error)) {
            return new Failure(context.getString(R.string.fail_space),
                    context.getString(R.string.fail_space_hint, Facts.bytes(context, bytes)), error);
        }
        return new Failure(context.getString(R.string.fail_save),
                context.getString(R.string.fail_save_hint, String.valueOf(error.getMessage())), error);
    }

    /** Whether the storage is full: Java wraps the error of the system, or writes its name into the message. */
    static boolean noSpace(Throwable error) {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            if (cause instanceof ErrnoException && ((ErrnoException) cause).errno == OsConstants.ENOSPC) {
                return true;
            }
            String message = String.valueOf(cause.getMessage());
            if (message.contains("ENOSPC") || message.contains("No space left")) {
                return true;
            }
        }
        return false;
    }
}
