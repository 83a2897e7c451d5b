package androidx.test.runner.lifecycle;

/** What Robolectric uses of androidx.test, which Maven Central holds as AAR only. */
public enum Stage { PRE_ON_CREATE, CREATED, STARTED, RESUMED, PAUSED, STOPPED, RESTARTED, DESTROYED }
