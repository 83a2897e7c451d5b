package androidx.test.runner.intent;

/** What Robolectric uses of androidx.test, which Maven Central holds as AAR only. */
public final class IntentStubberRegistry {
    private IntentStubberRegistry() {}

    public static boolean isLoaded() {
        return false;
    }

    public static IntentStubber getInstance() {
        throw new IllegalStateException("no intents are stubbed");
    }
}
