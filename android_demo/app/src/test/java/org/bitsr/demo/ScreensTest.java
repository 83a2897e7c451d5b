package org.bitsr.demo;

import android.content.Intent;
import android.graphics.Bitmap;


import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;

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
            Screen.compare(controller.get(), "parity_light");
        }
    }

    @Test public void aboutDark() throws Exception {
        Screen.phone("night-", false);
        try (ActivityController<AboutActivity> controller = Robolectric.buildActivity(AboutActivity.class).setup()) {
            Screen.compare(controller.get(), "about_dark");
        }
    }
}
