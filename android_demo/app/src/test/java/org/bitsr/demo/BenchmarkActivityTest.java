package org.bitsr.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import android.content.Intent;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

import org.json.JSONObject;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.android.controller.ActivityController;

@RunWith(AppRunner.class)
public class BenchmarkActivityTest {
    private static BenchmarkActivity finished(ActivityController<BenchmarkActivity> controller) throws Exception {
        BenchmarkActivity activity = controller.setup().get();
        Screen.waitFor(() -> activity.run().over);
        return activity;
    }

    private static Intent intent(String model, int runs) {
        return new Intent().setClass(Screen.context(), BenchmarkActivity.class).putExtra("model", model)
                .putExtra("runs", runs).putExtra("warmup", 1).putExtra("height", 24).putExtra("width", 32);
    }

    @Test public void writesWhatTheRunnerWrites() throws Exception {
        for (String runtime : new String[] {Models.CORE, "tflite", "pte"}) {
            Intent asked = intent("ebsr_light_plus_tiny_x2", 3).putExtra("runtime", runtime);
            try (ActivityController<BenchmarkActivity> controller = Robolectric.buildActivity(BenchmarkActivity.class, asked)) {
                BenchmarkActivity activity = finished(controller);
                assertTrue(activity.run().text, activity.run().passed);
                File file = Benchmark.target(activity);
                JSONObject json = new JSONObject(new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8));
                assertEquals(1, json.getInt("schema"));
                assertEquals(3, json.getJSONArray("samples_ms").length());
                assertEquals(3, json.getJSONArray("samples_cpu_ms").length());
                assertEquals("[1,3,48,64]", json.getJSONArray("output_shape").toString());
                assertEquals(runtime.equals("pte") ? "pte" : "tflite", json.getJSONObject("model").getString("format"));
                assertEquals(runtime.equals(Models.CORE), json.getJSONObject("versions").has(Models.CORE));
                assertEquals("ebsr_light_plus_tiny_x2", json.getJSONObject("model").getJSONObject("sidecar").getString("model"));
                // The Python side reads it with the runner's schema: tests/android.
                Path folder = Path.of(System.getProperty("bitsr.results"));
                Files.createDirectories(folder);
                Files.copy(file.toPath(), folder.resolve("results_" + runtime + ".json"), StandardCopyOption.REPLACE_EXISTING);
            }
        }
    }

    @Test public void aWrongRequestIsAnErrorInPlaceOfResults() throws Exception {
        for (Intent asked : new Intent[] {intent("no_such_model", 3), intent("ebsr_light_plus_tiny_x2", 0),
                intent("ebsr_light_plus_tiny_x2", 3).putExtra("runtime", "onnx")}) {
            File file = Benchmark.target(Screen.context());
            Files.createDirectories(file.getParentFile().toPath());
            Files.write(file.toPath(), "of an earlier run".getBytes(StandardCharsets.UTF_8));
            try (ActivityController<BenchmarkActivity> controller = Robolectric.buildActivity(BenchmarkActivity.class, asked)) {
                BenchmarkActivity activity = finished(controller);
                assertFalse(activity.run().passed);
                assertTrue(activity.run().text, activity.run().text.contains("expected"));
                JSONObject json = new JSONObject(new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8));
                assertTrue("no older results are taken for these", json.getString("error").contains("expected"));
            }
        }
    }
}
