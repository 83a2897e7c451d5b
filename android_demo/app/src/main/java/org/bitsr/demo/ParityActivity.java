package org.bitsr.demo;

import android.os.Bundle;
import android.os.Handler;
import android.os.Looper;
import android.util.Log;
import android.view.View;
import android.widget.ImageView;
import android.widget.TextView;

import java.util.ArrayList;
import java.util.List;

/** Whether this phone computes what Python computes: the checks, one by one, and the verdict. */
public final class ParityActivity extends PageActivity {
    /** A run of the checks, which outlives the activity; changed on the main thread alone. */
    static final class Run {
        final List<Parity.Check> checks = new ArrayList<>();
        int total = -1;
        boolean over;
        Failure failure;
        ParityActivity shown;
        private final Handler main = new Handler(Looper.getMainLooper());

        void start(android.content.Context context) {
            new Thread(() -> {
                Failure failed = null;
                try {
                    new Parity(context).run(
                            count -> main.post(() -> {
                                total = count;
                                changed();
                            }),
                            check -> main.post(() -> {
                                checks.add(check);
                                changed();
                            }));
                } catch (Exception error) {
                    failed = Failures.of(context, error);
                }
                Failure why = failed;
                main.post(() -> {
                    failure = why;
                    over = true;
                    // For `adb logcat -s bitsr`.
                    Log.i("bitsr", "parity: " + (why != null ? why.getMessage() : wrong() == 0 ? "pass" : "FAIL") + ", "
                            + checks.size() + " checks");
                    changed();
                });
            }, "bitsr-parity").start();
        }

        long wrong() {
            return checks.stream().filter(check -> !check.passed).count();
        }

        private void changed() {
            if (shown != null) {
                shown.changed();
            }
        }
    }

    private Run run;
    private int listed;
    private String model;

    @Override protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        Object kept = getLastNonConfigurationInstance();
        run = kept instanceof Run ? (Run) kept : new Run();
        run.shown = this;
        if (kept == null) {
            run.start(getApplicationContext());
        }
        changed();
    }

    private void changed() {
        for (; listed < run.checks.size(); listed++) {
            add(run.checks.get(listed));
        }
        String text = getString(R.string.parity_text);
        if (run.failure != null) {
            summary(R.drawable.ic_fail, run.failure.title, run.failure.hint);
        } else if (!run.over) {
            summary(R.drawable.ic_wait, getString(R.string.parity_running, listed, Math.max(run.total, 0)), text);
        } else if (run.checks.isEmpty()) {
            summary(R.drawable.ic_fail, getString(R.string.parity_none), getString(R.string.parity_none_hint));
        } else if (run.wrong() == 0) {
            summary(R.drawable.ic_pass, getString(R.string.parity_pass), text);
        } else {
            summary(R.drawable.ic_fail, getString(R.string.parity_fail, run.wrong(), run.checks.size()), text);
        }
    }

    private void add(Parity.Check check) {
        if (!check.model.equals(model)) {
            model = check.model;
            section(Facts.model(model));
        }
        View row = add(R.layout.check);
        ImageView icon = row.findViewById(R.id.icon);
        icon.setImageResource(check.passed ? R.drawable.ic_pass : R.drawable.ic_fail);
        icon.setContentDescription(getString(check.passed ? R.string.passed : R.string.failed));
        ((TextView) row.findViewById(R.id.name)).setText(check.name);
        ((TextView) row.findViewById(R.id.detail)).setText(check.detail);
    }

    @Override public Object onRetainNonConfigurationInstance() {
        return run;
    }

    @Override protected void onDestroy() {
        run.shown = null;
        super.onDestroy();
    }

    Run run() {
        return run;
    }
}
