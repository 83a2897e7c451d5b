package androidx.test.runner.lifecycle;

import android.app.Activity;

/** What Robolectric uses of androidx.test, which Maven Central holds as AAR only. */
public interface ActivityLifecycleCallback {
    void onActivityLifecycleChanged(Activity activity, Stage stage);
}
