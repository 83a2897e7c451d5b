package androidx.test.runner.intent;

/** What Robolectric uses of androidx.test, which Maven Central holds as AAR only. */
public interface IntentMonitor {}
