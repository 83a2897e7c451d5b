package org.bitsr.demo;

import android.Manifest;
import android.app.Application;
import android.content.Intent;
import android.graphics.Bitmap;

import java.time.Duration;
import java.util.function.Function;

import org.bitsr.engine.Engine;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.Shadows;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.shadows.ShadowSystemClock;

/** The screens as they are drawn, compared with the pictures that the README shows. */
@RunWith(AppRunner.class)
public class ScreensTest {
    private static void main(String name, String qualifiers, boolean landscape, Intent intent) throws Exception {
        Screen.phone(qualifiers, landscape);
        try (ActivityController<MainActivity> controller = Robolectric.buildActivity(MainActivity.class, intent).setup()) {
            Screen.settle(controller.get());
            Screen.compare(controller.get(), name);
        }
    }

    private static Intent photo() {
        Screen.serve(Screen.encoded(Screen.photo(), Bitmap.CompressFormat.JPEG));
        return Screen.shareIntent();
    }

    private static Intent launcher() {
        return new Intent(Intent.ACTION_MAIN).setClass(Screen.context(), MainActivity.class);
    }

    @Test public void emptyLight() throws Exception {
        main("empty_light", "", false, launcher());
    }

    @Test public void compareLight() throws Exception {
        main("compare_light", "", false, photo());
    }

    @Test public void compareDark() throws Exception {
        main("compare_dark", "night-", false, photo());
    }

    @Test public void compareLandscapeDark() throws Exception {
        main("compare_landscape_dark", "night-", true, photo());
    }

    @Test public void largeFont() throws Exception {
        RuntimeEnvironment.setFontScale(1.6f);
        main("compare_large_font", "", false, photo());
    }

    @Test public void failedLight() throws Exception {
        Screen.serve("no picture".getBytes());
        main("failed_dark", "night-", false, Screen.shareIntent());
    }

    @Test public void parityLight() throws Exception {
        Screen.phone("", false);
        try (ActivityController<ParityActivity> controller = Robolectric.buildActivity(ParityActivity.class).setup()) {
            Screen.waitFor(() -> controller.get().run().over);
            // The picture that is kept was made with all of them; a machine without AVX-512 has fewer.
            Screen.replace(controller.get().getWindow().getDecorView(),
                    String.join(", ", Engine.instructionSets()), "avx512, avx2, portable");
            Screen.compare(controller.get(), "parity_light");
        }
    }

    private static void live(String name, String qualifiers, boolean landscape) throws Exception {
        Screen.phone(qualifiers, landscape);
        Shadows.shadowOf((Application) Screen.context()).grantPermissions(Manifest.permission.CAMERA);
        Function<LiveActivity, FrameSource> camera = LiveActivity.frames;
        FakeFrames.use();
        try (ActivityController<LiveActivity> controller = Robolectric.buildActivity(LiveActivity.class).setup()) {
            // The photo is 451 x 300 pixels; the region is 240 x 180, or upright 180 x 240.
            Bitmap middle = Bitmap.createBitmap(Screen.photo(), landscape ? 100 : 130, landscape ? 40 : 25,
                    landscape ? 240 : 180, landscape ? 180 : 240);
            for (int number = 0; number < 2; number++) {
                FrameSource.Frame frame = FakeFrames.frame(middle);
                // Texts change twice a second.
                ShadowSystemClock.advanceBy(Duration.ofSeconds(1));
                FakeFrames.last().listener.frame(frame);
                Screen.waitFor(() -> controller.get().shown() != null && controller.get().shown().frame == frame);
            }
            Screen.compare(controller.get(), name);
        } finally {
            LiveActivity.frames = camera;
        }
    }

    @Test public void liveLight() throws Exception {
        live("live_light", "", false);
    }

    @Test public void liveLandscapeDark() throws Exception {
        live("live_landscape_dark", "night-", true);
    }

    @Test public void aboutDark() throws Exception {
        Screen.phone("night-", false);
        try (ActivityController<AboutActivity> controller = Robolectric.buildActivity(AboutActivity.class).setup()) {
            Screen.compare(controller.get(), "about_dark");
        }
    }
}
