package org.bitsr.demo;

import android.content.Context;
import android.content.Intent;
import android.os.Bundle;
import android.util.Log;
import android.view.WindowManager;

import java.io.File;
import java.util.List;
import java.util.Locale;

import org.json.JSONObject;

/**
 * Times a model when a computer asks for it: {@code adb shell am start -n org.bitsr.demo/.BenchmarkActivity} with the
 * extras model, runtime (texts), runs, warmup, threads, height, width (numbers). The end stands in the log, tag bitsr.
 */
public final class BenchmarkActivity extends RunActivity<BenchmarkActivity.Run> {
    static final class Run extends RunActivity.Run {
        String text = "";
        boolean passed;

        @Override void start(Context context, Intent intent) {
            new Thread(() -> {
                File target = Benchmark.target(context);
                try {
                    // Nobody may take an older file for this run's.
                    target.delete();
                    Models models = new Models(new Content(context));
                    Benchmark.Request request = request(models, intent);
                    JSONObject results = Benchmark.run(models, request,
                            number -> say(context.getString(R.string.benchmark_running,
                                    request.model + ", " + Facts.runtime(context, request.runtime), number, request.runs), false, false));
                    Benchmark.write(target, results);
                    double median = Benchmark.median(results.getJSONArray("samples_ms"));
                    Log.i("bitsr", String.format(Locale.ROOT, "benchmark: median %.3f ms, %s", median, target));
                    say(context.getString(R.string.benchmark_done, median, target.getPath()), true, true);
                } catch (Exception | OutOfMemoryError error) {
                    Log.e("bitsr", "benchmark: failed: " + error.getMessage());
                    Benchmark.writeError(target, String.valueOf(error.getMessage()));
                    say(context.getString(R.string.benchmark_failed, String.valueOf(error.getMessage())), true, false);
                }
            }, "bitsr-benchmark").start();
        }

        private static Benchmark.Request request(Models models, Intent intent) throws Benchmark.RequestException {
            List<String> names = models.names();
            if (names.isEmpty()) {
                throw new Benchmark.RequestException("this app was built without models");
            }
            String model = text(intent, "model", names.get(0));
            if (!names.contains(model)) {
                throw new Benchmark.RequestException(
                        "there is no model '" + model + "', expected one of " + String.join(", ", names));
            }
            List<String> runtimes = models.runtimes(model);
            String runtime = text(intent, "runtime", runtimes.get(0));
            if (!runtimes.contains(runtime)) {
                throw new Benchmark.RequestException("the runtime of " + model + " is '" + runtime
                        + "', expected one of " + String.join(", ", runtimes));
            }
            return new Benchmark.Request(model, runtime, intent.getIntExtra("runs", 50), intent.getIntExtra("warmup", 5),
                    intent.getIntExtra("threads", 1), intent.getIntExtra("height", 128),
                    intent.getIntExtra("width", 128));
        }

        private static String text(Intent intent, String key, String otherwise) {
            String value = intent.getStringExtra(key);
            return value == null ? otherwise : value;
        }

        private void say(String next, boolean end, boolean good) {
            change(() -> {
                text = next;
                over = end;
                passed = good;
            });
        }
    }

    @Override Run work() {
        return new Run();
    }

    @Override protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        // A screen that goes dark slows the processor.
        getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
    }

    @Override void changed() {
        Run run = run();
        int icon = !run.over ? R.drawable.ic_wait : run.passed ? R.drawable.ic_pass : R.drawable.ic_fail;
        summary(icon, run.text, run.over ? "" : getString(R.string.benchmark_started_elsewhere));
    }
}
