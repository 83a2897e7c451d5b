package androidx.test.runner.intent;

import android.app.Instrumentation;
import android.content.Intent;

/** What Robolectric uses of androidx.test, which Maven Central holds as AAR only. */
public interface IntentStubber {
    Instrumentation.ActivityResult getActivityResultForIntent(Intent intent);
}
