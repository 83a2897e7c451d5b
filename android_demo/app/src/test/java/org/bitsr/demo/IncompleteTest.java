package org.bitsr.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;
import static org.junit.Assume.assumeTrue;

import android.graphics.Bitmap;
import android.os.Build;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

import org.json.JSONObject;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;

/** Pictures whose files end too early: what the command line reads the app reads, and says so. */
@RunWith(AppRunner.class)
@Config(sdk = {26, 35})
public class IncompleteTest {
    private static byte[] cut(byte[] whole, double share) {
        return Arrays.copyOf(whole, (int) (whole.length * share));
    }

    private static MainActivity shown(ActivityController<MainActivity> controller) throws Exception {
        Screen.settle(controller.get());
        return controller.get();
    }

    @Test public void aSmallLossIsMadeUpForAndSaid() throws Exception {
        Screen.serve(cut(Screen.smallPhoto(), 0.985));
        try (ActivityController<MainActivity> controller =
                Robolectric.buildActivity(MainActivity.class, Screen.shareIntent()).setup()) {
            MainActivity activity = shown(controller);
            assertEquals(Workbench.Stage.DONE, activity.bench().stage);
            assertTrue(activity.bench().missing > 0 && activity.bench().missing < 0.1);
            String said = activity.getString(R.string.made_up, 100 * activity.bench().missing);
            assertTrue(said, Screen.text(activity, R.id.details).contains(said));
            // The next picture is whole, and nothing is said of it.
            Screen.serve(Screen.smallPhoto());
            controller.newIntent(Screen.shareIntent());
            shown(controller);
            assertEquals(0, activity.bench().missing, 0);
        }
    }

    @Test public void aLargeLossIsRefused() throws Exception {
        for (Bitmap.CompressFormat format : new Bitmap.CompressFormat[] {Bitmap.CompressFormat.JPEG,
                Bitmap.CompressFormat.PNG}) {
            Screen.serve(cut(Screen.encoded(Screen.photo(), format), 0.5));
            try (ActivityController<MainActivity> controller =
                    Robolectric.buildActivity(MainActivity.class, Screen.shareIntent()).setup()) {
                MainActivity activity = shown(controller);
                assertEquals(activity.getString(R.string.fail_incomplete), Screen.text(activity, R.id.empty_title));
                assertTrue(Screen.text(activity, R.id.empty_text).matches("(?s).*\\b[45]\\d %.*"));
            }
        }
    }

    /** The files of tests/android/test_app.py, which compares what is written here with the command line. */
    @Test public void verdictsForPython() throws Exception {
        File[] files = new File(System.getProperty("bitsr.pictures"), "incomplete").listFiles();
        assumeTrue("written by tests/android/test_app.py", files != null && files.length > 0);
        JSONObject verdicts = new JSONObject();
        for (File file : files) {
            try {
                verdicts.put(file.getName(), Photos.decode(Screen.context(), file).missing);
            } catch (Failure refused) {
                verdicts.put(file.getName(), JSONObject.NULL);
            }
        }
        Path results = Path.of(System.getProperty("bitsr.results"));
        Files.createDirectories(results);
        Files.write(results.resolve("incomplete_" + Build.VERSION.SDK_INT + ".json"),
                verdicts.toString().getBytes(StandardCharsets.UTF_8));
    }
}
