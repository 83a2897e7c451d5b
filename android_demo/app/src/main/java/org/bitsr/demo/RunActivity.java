package org.bitsr.demo;

import android.content.Context;
import android.content.Intent;
import android.os.Bundle;
import android.os.Handler;
import android.os.Looper;

/** A page that shows work which goes on while the activity is made anew, as when the phone is turned. */
abstract class RunActivity<R extends RunActivity.Run> extends PageActivity {
    /** The work. Its fields are changed on the main thread alone. */
    abstract static class Run {
        private final Handler main = new Handler(Looper.getMainLooper());
        private RunActivity<?> shown;
        boolean over;

        /** Starts a thread of its own, which tells what it finds by {@link #change}. */
        abstract void start(Context context, Intent intent);

        final void change(Runnable change) {
            main.post(() -> {
                change.run();
                if (shown != null) {
                    shown.changed();
                }
            });
        }
    }

    private R run;

    /** The work that this page is for, not yet started. */
    abstract R work();

    /** Shows {@link #run} as it is now. */
    abstract void changed();

    @SuppressWarnings("unchecked") // What was kept is of the same activity.
    @Override protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        R kept = (R) getLastNonConfigurationInstance();
        run = kept != null ? kept : work();
        ((Run) run).shown = this;
        if (kept == null) {
            run.start(getApplicationContext(), getIntent());
        }
        changed();
    }

    @Override public Object onRetainNonConfigurationInstance() {
        return run;
    }

    @Override protected void onDestroy() {
        ((Run) run).shown = null;
        super.onDestroy();
    }

    R run() {
        return run;
    }
}
