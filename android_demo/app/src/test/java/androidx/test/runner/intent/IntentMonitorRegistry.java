package androidx.test.runner.intent;

/** What Robolectric uses of androidx.test, which Maven Central holds as AAR only. */
public final class IntentMonitorRegistry {
    private IntentMonitorRegistry() {}

    public static void registerInstance(IntentMonitor monitor) {}
}
