package org.bitsr.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import android.widget.Spinner;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.android.controller.ActivityController;

/** Models that a computer put into the app's folder: one's own, and broken ones, and what the app says of them. */
@RunWith(AppRunner.class)
public class ModelsTest {
    private static final Path MODELS = Path.of(System.getProperty("bitsr.assets"), "models");
    private static final String GOOD = "ebsr_light_plus_tiny_x2";

    @Before public void add() throws Exception {
        byte[] tflite = Files.readAllBytes(MODELS.resolve(GOOD + ".tflite"));
        byte[] pte = Files.readAllBytes(MODELS.resolve(GOOD + ".pte"));
        String sidecar = new String(Files.readAllBytes(MODELS.resolve(GOOD + ".json")), StandardCharsets.UTF_8);
        String newer = sidecar.replace("\"format_version\": 2", "\"format_version\": 3");
        assertTrue(!newer.equals(sidecar));
        Path folder = Screen.context().getExternalFilesDir("models").toPath();
        Files.write(folder.resolve("a_truncated_x2.tflite"), Arrays.copyOf(tflite, tflite.length / 3));
        Files.write(folder.resolve("b_newer_x2.pte"), pte);
        Files.write(folder.resolve("b_newer_x2.json"), newer.getBytes(StandardCharsets.UTF_8));
        Files.write(folder.resolve("c_alone_x2.pte"), pte);
        Files.write(folder.resolve("own_x2.pte"), pte);
        Files.write(folder.resolve("own_x2.json"), sidecar.getBytes(StandardCharsets.UTF_8));
        Screen.serve(Screen.smallPhoto());
    }

    @Test public void brokenModelsAreExplainedAndTheNextOneRuns() throws Exception {
        try (ActivityController<MainActivity> controller =
                Robolectric.buildActivity(MainActivity.class, Screen.shareIntent()).setup()) {
            MainActivity activity = controller.get();
            Screen.settle(activity);
            Spinner model = activity.findViewById(R.id.model);
            List<String> names = activity.bench().models.names();
            for (String broken : List.of("a_truncated_x2", "b_newer_x2", "c_alone_x2")) {
                model.setSelection(names.indexOf(broken));
                Screen.idle();
                Screen.settle(activity);
                assertEquals(broken, Workbench.Stage.FAILED, activity.bench().stage);
                assertEquals(activity.getString(R.string.fail_model), Screen.text(activity, R.id.headline));
                assertTrue(Screen.text(activity, R.id.details), Screen.text(activity, R.id.details).length() > 40);
                for (String good : List.of(GOOD, "own_x2")) {
                    model.setSelection(names.indexOf(good));
                    Screen.idle();
                    Screen.settle(activity);
                    assertEquals(Workbench.Stage.DONE, activity.bench().stage);
                }
            }
        }
    }
}
