package org.bitsr.demo;

/** By which model, runtime (of {@link Models#runtimes}) and threads a picture is enlarged. */
final class Choice {
    final String model, runtime;
    final int threads;

    Choice(String model, String runtime, int threads) {
        this.model = model;
        this.runtime = runtime;
        this.threads = threads;
    }

    @Override public boolean equals(Object other) {
        return other instanceof Choice && model.equals(((Choice) other).model)
                && runtime.equals(((Choice) other).runtime) && threads == ((Choice) other).threads;
    }

    @Override public int hashCode() {
        return model.hashCode() * 31 + runtime.hashCode() + threads;
    }
}
