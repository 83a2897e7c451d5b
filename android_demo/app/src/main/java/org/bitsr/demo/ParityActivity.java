package org.bitsr.demo;

import android.content.Context;
import android.content.Intent;
import android.util.Log;
import android.view.View;
import android.widget.ImageView;
import android.widget.TextView;

import java.util.ArrayList;
import java.util.List;

/** Whether this phone computes what Python computes: the checks, one by one, and the verdict. */
public final class ParityActivity extends RunActivity<ParityActivity.Run> {
    /** A run of the checks. */
    static final class Run extends RunActivity.Run {
        final List<Parity.Check> checks = new ArrayList<>();
        int total = -1;
        Failure failure;

        @Override void start(Context context, Intent intent) {
            new Thread(() -> {
                Failure failed = null;
                try {
                    new Parity(context).run(
                            count -> change(() -> total = count),
                            check -> change(() -> checks.add(check)));
                } catch (Exception error) {
                    failed = Failures.of(context, error);
                }
                Failure why = failed;
                change(() -> {
                    failure = why;
                    over = true;
                    // For `adb logcat -s bitsr`.
                    Log.i("bitsr", "parity: " + (why != null ? why.getMessage() : wrong() == 0 ? "pass" : "FAIL") + ", "
                            + checks.size() + " checks");
                });
            }, "bitsr-parity").start();
        }

        long wrong() {
            return checks.stream().filter(check -> !check.passed).count();
        }
    }

    private int listed;
    private String model;

    @Override Run work() {
        return new Run();
    }

    @Override void changed() {
        Run run = run();
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
}
