package androidx.test.runner.lifecycle;

/** What Robolectric uses of androidx.test, which Maven Central holds as AAR only. */
public enum ApplicationStage { PRE_ON_CREATE, CREATED }
