package androidx.test.runner.lifecycle;

/** What Robolectric uses of androidx.test, which Maven Central holds as AAR only. */
public interface ApplicationLifecycleMonitor {}
