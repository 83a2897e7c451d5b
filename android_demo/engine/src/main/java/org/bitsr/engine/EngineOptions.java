package org.bitsr.engine;

/** How a model is opened. Every setter gives the options themselves, so that calls can be chained. */
public final class EngineOptions {
    int threads = 1;
    String isa = "auto";
    String runtime = "auto";
    String tfliteLibrary;
    String delegateLibrary;
    String executorchLibrary;

    /**
     * 1 (the default) is the calling thread alone. More: so many threads of its own, but in ExecuTorch those of its pool,
     * which the process shares: see {@link Engine#setProcessThreads}.
     */
    public EngineOptions threads(int count) {
        threads = count;
        return this;
    }

    /** Name of {@link Engine#instructionSets}, or "auto" (the default), the fastest. */
    public EngineOptions isa(String name) {
        isa = name;
        return this;
    }

    /**
     * "core": the engine's own library alone, for a model that is made of our ops; "framework": TensorFlow Lite or
     * ExecuTorch, by the model's format; "auto" (the default): the core where it can, otherwise the framework.
     */
    public EngineOptions runtime(String name) {
        runtime = name;
        return this;
    }

    /**
     * Files of the libraries that run models in a framework, where they are not beside the engine's own: the runtime of a .tflite, our
     * delegate for it, and ExecuTorch with our backend. Null: the packaged ones.
     */
    public EngineOptions libraries(String tflite, String delegate, String executorch) {
        tfliteLibrary = tflite;
        delegateLibrary = delegate;
        executorchLibrary = executorch;
        return this;
    }
}
