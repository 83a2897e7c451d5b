package org.bitsr.demo;

import org.junit.runners.model.FrameworkMethod;
import org.junit.runners.model.InitializationError;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.internal.bytecode.InstrumentationConfiguration;

/** Leaves the native side to the loader of this JVM, which all sandboxes share: a library is loaded once. */
public final class AppRunner extends RobolectricTestRunner {
    public AppRunner(Class<?> test) throws InitializationError {
        super(test);
    }

    @Override protected InstrumentationConfiguration createClassLoaderConfig(FrameworkMethod method) {
        return new InstrumentationConfiguration.Builder(super.createClassLoaderConfig(method))
                .doNotAcquirePackage("org.bitsr.engine.jni.").build();
    }
}
