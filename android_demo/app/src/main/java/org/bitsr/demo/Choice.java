package org.bitsr.demo;

/** By which model, runtime and threads a picture is enlarged. */
final class Choice {
    final String model, format;
    final int threads;

    Choice(String model, String format, int threads) {
        this.model = model;
        this.format = format;
        this.threads = threads;
    }

    @Override public boolean equals(Object other) {
        return other instanceof Choice && model.equals(((Choice) other).model)
                && format.equals(((Choice) other).format) && threads == ((Choice) other).threads;
    }

    @Override public int hashCode() {
        return model.hashCode() * 31 + format.hashCode() + threads;
    }
}
