package org.bitsr.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.view.ViewGroup;

import java.nio.file.Files;
import java.nio.file.Path;

import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;

@RunWith(AppRunner.class)
public class ParityActivityTest {
    private static final Path GOLDEN = Path.of(System.getProperty("bitsr.assets"), "golden", "ebsr_light_plus_tiny_x2");

    private static ParityActivity finished(ActivityController<ParityActivity> controller) throws Exception {
        ParityActivity activity = controller.setup().get();
        Screen.waitFor(() -> activity.run().over);
        return activity;
    }

    @Test @Config(sdk = {26, 35}) public void everythingIsAsInPython() throws Exception {
        try (ActivityController<ParityActivity> controller = Robolectric.buildActivity(ParityActivity.class)) {
            ParityActivity activity = finished(controller);
            for (Parity.Check check : activity.run().checks) {
                assertTrue(check.model + ", " + check.name + ": " + check.detail, check.passed);
            }
            assertTrue(activity.run().checks.size() > 6);
            assertEquals(activity.getString(R.string.parity_pass), Screen.text(activity, R.id.summary));
            assertTrue(((ViewGroup) activity.findViewById(R.id.list)).getChildCount() > activity.run().checks.size());
        }
    }

    @Test public void aDifferenceOfOneBitIsFound() throws Exception {
        // What a computer put into the app's folder goes before the assets.
        Path folder = Screen.context().getExternalFilesDir("golden/ebsr_light_plus_tiny_x2").toPath();
        byte[] values = Files.readAllBytes(GOLDEN.resolve("0.f32"));
        values[values.length - 4] ^= 1;
        Files.write(folder.resolve("0.f32"), values);
        Bitmap picture = BitmapFactory.decodeFile(GOLDEN.resolve("result_pte.png").toString())
                .copy(Bitmap.Config.ARGB_8888, true);
        picture.setPixel(3, 5, picture.getPixel(3, 5) ^ 1);
        Files.write(folder.resolve("result_pte.png"), Screen.encoded(picture, Bitmap.CompressFormat.PNG));
        try (ActivityController<ParityActivity> controller = Robolectric.buildActivity(ParityActivity.class)) {
            ParityActivity activity = finished(controller);
            int total = activity.run().checks.size();
            assertEquals(activity.getString(R.string.parity_fail, 2, total), Screen.text(activity, R.id.summary));
        }
    }
}
