package org.bitsr.demo;

/** What went wrong, and what the person can do: both are shown. */
final class Failure extends Exception {
    final String title;
    final String hint;

    Failure(String title, String hint, Throwable cause) {
        super(title + ". " + hint, cause);
        this.title = title;
        this.hint = hint;
    }
}
