package org.bitsr.demo;

import android.content.Context;
import android.os.Build;
import android.util.Log;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.function.IntConsumer;

import org.bitsr.engine.BitsrException;
import org.bitsr.engine.Engine;
import org.bitsr.engine.ModelInfo;
import org.bitsr.engine.Upscaler;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** Times a model on a fixed pattern and reports it as bitsr-run does (runtime/runner/README.md, "JSON"). */
final class Benchmark {
    /** What is timed; sides are those of the network's input. */
    static final class Request {
        final String model, runtime;
        final int runs, warmup, threads, height, width;

        Request(String model, String runtime, int runs, int warmup, int threads, int height, int width)
                throws RequestException {
            this.model = model;
            this.runtime = runtime;
            this.runs = inRange("runs", runs, 1, 10_000);
            this.warmup = inRange("warmup", warmup, 0, 10_000);
            this.threads = inRange("threads", threads, 1, 64);
            this.height = inRange("height", height, 1, 1024);
            this.width = inRange("width", width, 1, 1024);
        }

        private static int inRange(String name, int value, int least, int most) throws RequestException {
            if (value < least || value > most) {
                throw new RequestException(
                        name + " is " + value + ", expected " + least + " to " + most);
            }
            return value;
        }
    }

    /** The intent asks for something that can not be. */
    static final class RequestException extends Exception {
        RequestException(String message) {
            super(message);
        }
    }

    static final String RESULTS = "results.json";
    private static final int CHANNELS = 3;

    private Benchmark() {}

    /** The same pattern as bitsr-run's: values in [0, 1) of a linear congruential generator. */
    static float[] pattern(int count) {
        float[] values = new float[count];
        int state = 1;
        for (int i = 0; i < count; i++) {
            state = state * 1664525 + 1013904223;
            values[i] = (state >>> 8) / 16777216.0f;
        }
        return values;
    }

    static JSONObject run(Models models, Request request, IntConsumer progress)
            throws IOException, BitsrException, JSONException {
        long start = System.nanoTime();
        try (Upscaler upscaler = models.open(request.model, request.runtime, request.threads)) {
            double load = (System.nanoTime() - start) / 1e6;
            float[] input = pattern(CHANNELS * request.height * request.width);
            double[] times = new double[2];
            upscaler.run(input, CHANNELS, request.height, request.width, times);
            double first = times[0];
            for (int i = 0; i < request.warmup; i++) {
                upscaler.run(input, CHANNELS, request.height, request.width, times);
            }
            JSONArray wall = new JSONArray(), busy = new JSONArray();
            for (int i = 0; i < request.runs; i++) {
                progress.accept(i + 1);
                upscaler.run(input, CHANNELS, request.height, request.width, times);
                wall.put(times[0]);
                busy.put(times[1]);
            }
            ModelInfo info = upscaler.info();
            return new JSONObject().put("schema", 1).put("model", model(request, info)).put("device", device(info))
                    .put("build", new JSONObject().put("type", "app").put("compiler", Engine.compiler())
                            .put("bitsr", Engine.version()))
                    .put("versions", new JSONObject().put(info.runtime, info.runtimeVersion))
                    .put("load_ms", load).put("peak_rss_bytes", Engine.peakMemory())
                    .put("input_shape", new JSONArray(Arrays.asList(1, CHANNELS, request.height, request.width)))
                    .put("output_shape", new JSONArray(Arrays.asList(1, CHANNELS, request.height * info.scale,
                            request.width * info.scale)))
                    .put("first_ms", first).put("samples_ms", wall).put("samples_cpu_ms", busy);
        }
    }

    private static JSONObject model(Request request, ModelInfo info) throws JSONException {
        return new JSONObject().put("path", request.model + "." + info.format).put("bytes", info.artifactBytes)
                .put("format", info.format).put("scale", info.scale).put("sidecar", new JSONObject(info.metadata));
    }

    private static JSONObject device(ModelInfo info) throws JSONException, BitsrException {
        return new JSONObject().put("machine", System.getProperty("os.arch", Build.SUPPORTED_ABIS[0]))
                .put("processor", (Build.MANUFACTURER + " " + Build.MODEL + ", " + Build.HARDWARE).trim())
                .put("isa", new JSONArray(Arrays.asList(Engine.instructionSets()))).put("kernel", info.isa)
                .put("threads", info.threads).put("cores", Runtime.getRuntime().availableProcessors());
    }

    /** Where adb finds the results: the app's folder on the shared storage, or its own where there is none. */
    static File target(Context context) {
        File shared = context.getExternalFilesDir(null);
        return new File(shared != null ? shared : context.getFilesDir(), RESULTS);
    }

    /** The file is there when it is whole. */
    static void write(File target, JSONObject results) throws IOException, JSONException {
        File part = new File(target.getParentFile(), "." + target.getName() + ".part");
        try {
            try (FileOutputStream out = new FileOutputStream(part)) {
                out.write((results.toString(1) + "\n").getBytes(StandardCharsets.UTF_8));
                out.getFD().sync();
            }
            if (!part.renameTo(target)) {
                throw new IOException(target + " can not be written");
            }
        } finally {
            part.delete();
        }
    }

    /** Whoever waits for the file learns why there are no results. */
    static void writeError(File target, String message) {
        try {
            write(target, new JSONObject().put("schema", 1).put("error", message));
        } catch (IOException | JSONException error) {
            Log.e("bitsr", "benchmark: " + target + " can not be written", error);
        }
    }

    static double median(JSONArray samples) throws JSONException {
        double[] sorted = new double[samples.length()];
        for (int i = 0; i < sorted.length; i++) {
            sorted[i] = samples.getDouble(i);
        }
        Arrays.sort(sorted);
        int half = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    }
}
