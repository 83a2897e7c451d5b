package androidx.test.internal.runner.lifecycle;

import android.app.Activity;

import androidx.test.runner.lifecycle.ActivityLifecycleCallback;
import androidx.test.runner.lifecycle.ActivityLifecycleMonitor;
import androidx.test.runner.lifecycle.Stage;

import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What Robolectric uses of androidx.test, which Maven Central holds as AAR only. */
public class ActivityLifecycleMonitorImpl implements ActivityLifecycleMonitor {
    private final List<ActivityLifecycleCallback> callbacks = new ArrayList<>();
    private final Map<Activity, Stage> stages = new LinkedHashMap<>();

    @Override public void addLifecycleCallback(ActivityLifecycleCallback callback) {
        callbacks.add(callback);
    }

    @Override public void removeLifecycleCallback(ActivityLifecycleCallback callback) {
        callbacks.remove(callback);
    }

    @Override public Stage getLifecycleStageOf(Activity activity) {
        return stages.getOrDefault(activity, Stage.DESTROYED);
    }

    @Override public Collection<Activity> getActivitiesInStage(Stage stage) {
        List<Activity> found = new ArrayList<>(stages.keySet());
        found.removeIf(activity -> stages.get(activity) != stage);
        return found;
    }

    public void signalLifecycleChange(Stage stage, Activity activity) {
        stages.put(activity, stage);
        new ArrayList<>(callbacks).forEach(callback -> callback.onActivityLifecycleChanged(activity, stage));
        stages.values().removeIf(Stage.DESTROYED::equals);
    }
}
