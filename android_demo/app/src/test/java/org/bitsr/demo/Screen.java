package org.bitsr.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertTrue;

import android.app.Activity;
import android.content.Context;
import android.content.Intent;
import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.graphics.Color;
import android.net.Uri;
import android.os.Handler;
import android.os.Looper;
import android.view.PixelCopy;
import android.view.View;
import android.view.ViewGroup;
import android.widget.TextView;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

import org.robolectric.RuntimeEnvironment;
import org.robolectric.Shadows;
import org.robolectric.shadow.api.Shadow;
import org.robolectric.shadows.ShadowDisplay;
import org.robolectric.shadows.SystemBars;

/** What the tests of the screens share. */
final class Screen {
    static final Uri PICTURE = Uri.parse("content://org.bitsr.test/pictures/chelsea.jpg");
    private static final int SECONDS = 120;
    /** Pictures that are kept are so many times smaller than the screen. */
    private static final int REDUCED = 3;

    private Screen() {}

    static Context context() {
        return RuntimeEnvironment.getApplication();
    }

    /** What another app would give for {@link #PICTURE}. */
    static void serve(byte[] content) {
        Shadows.shadowOf(context().getContentResolver())
                .registerInputStreamSupplier(PICTURE, () -> new ByteArrayInputStream(content));
    }

    static Bitmap photo() {
        return BitmapFactory.decodeFile(System.getProperty("bitsr.photo"));
    }

    static byte[] encoded(Bitmap bitmap, Bitmap.CompressFormat format) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        assertTrue(bitmap.compress(format, 95, out));
        return out.toByteArray();
    }

    static byte[] smallPhoto() {
        return encoded(Bitmap.createBitmap(photo(), 180, 60, 72, 54), Bitmap.CompressFormat.JPEG);
    }

    static Intent shareIntent() {
        return new Intent(Intent.ACTION_SEND).setType("image/jpeg").putExtra(Intent.EXTRA_STREAM, PICTURE)
                .setClass(context(), MainActivity.class);
    }

    /** A phone of 1080 x 2400 pixels, or one that lies on its side, with the system's bars. */
    static void phone(String qualifiers, boolean landscape) {
        RuntimeEnvironment.setQualifiers((landscape ? "w914dp-h411dp-land-" : "w411dp-h914dp-port-") + qualifiers + "420dpi");
        ShadowDisplay display = Shadow.extract(ShadowDisplay.getDefaultDisplay());
        int width = landscape ? 2400 : 1080, height = landscape ? 1080 : 2400;
        display.setWidth(width);
        display.setHeight(height);
        display.setRealWidth(width);
        display.setRealHeight(height);
        SystemBars.show();
    }

    static void idle() {
        Shadows.shadowOf(Looper.getMainLooper()).idleFor(Duration.ofMillis(1));
    }

    /** Until the workbench has nothing to do. */
    static void settle(MainActivity activity) throws Exception {
        activity.bench().later(() -> {}).get(SECONDS, TimeUnit.SECONDS);
        idle();
    }

    static void waitFor(BooleanSupplier condition) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(SECONDS);
        while (!condition.getAsBoolean()) {
            assertTrue("nothing came in time", System.nanoTime() < end);
            Thread.sleep(5);
            idle();
        }
    }

    static String text(Activity activity, int id) {
        View view = activity.findViewById(id);
        return view.getVisibility() == View.VISIBLE ? ((TextView) view).getText().toString() : "";
    }

    /** Puts other words into all texts below a view. */
    static void replace(View view, String words, String others) {
        if (view instanceof TextView) {
            TextView text = (TextView) view;
            text.setText(text.getText().toString().replace(words, others));
        } else if (view instanceof ViewGroup) {
            ViewGroup group = (ViewGroup) view;
            for (int i = 0; i < group.getChildCount(); i++) {
                replace(group.getChildAt(i), words, others);
            }
        }
    }

    static Bitmap draw(Activity activity) {
        idle();
        View decor = activity.getWindow().getDecorView();
        Bitmap bitmap = Bitmap.createBitmap(decor.getWidth(), decor.getHeight(), Bitmap.Config.ARGB_8888);
        int[] result = {-1};
        PixelCopy.request(activity.getWindow(), bitmap, value -> result[0] = value, new Handler(Looper.getMainLooper()));
        idle();
        assertEquals(PixelCopy.SUCCESS, result[0]);
        return bitmap;
    }

    /** Draws the screen and compares it with the picture that is kept; -Dbitsr.screens.update=true keeps this one. */
    static void compare(Activity activity, String name) throws IOException {
        Bitmap whole = draw(activity);
        write(whole, Path.of(System.getProperty("bitsr.screens"), name + ".png"), Bitmap.CompressFormat.PNG);
        Bitmap drawn = Bitmap.createScaledBitmap(whole, whole.getWidth() / REDUCED, whole.getHeight() / REDUCED, true);
        Path kept = Path.of(System.getProperty("bitsr.screens.golden"), name + ".jpg");
        if (Boolean.getBoolean("bitsr.screens.update")) {
            write(drawn, kept, Bitmap.CompressFormat.JPEG);
        }
        Bitmap expected = BitmapFactory.decodeFile(kept.toString());
        assertNotNull(kept + " is missing; see android_demo/README.md", expected);
        assertEquals(expected.getWidth(), drawn.getWidth());
        assertEquals(expected.getHeight(), drawn.getHeight());
        long sum = 0, far = 0;
        for (int y = 0; y < drawn.getHeight(); y++) {
            for (int x = 0; x < drawn.getWidth(); x++) {
                int a = drawn.getPixel(x, y), b = expected.getPixel(x, y);
                int difference = Math.max(Math.abs(Color.red(a) - Color.red(b)),
                        Math.max(Math.abs(Color.green(a) - Color.green(b)), Math.abs(Color.blue(a) - Color.blue(b))));
                sum += difference;
                far += difference > 48 ? 1 : 0;
            }
        }
        double pixels = (double) drawn.getWidth() * drawn.getHeight();
        // JPEG's own loss, and texts of other times and machines: milliseconds, megabytes, names of instruction sets.
        assertTrue(name + " differs by " + sum / pixels + " levels in the mean", sum / pixels < 4);
        assertTrue(name + " has " + far + " pixels far off", far / pixels < 0.02);
    }

    private static void write(Bitmap bitmap, Path path, Bitmap.CompressFormat format) throws IOException {
        Files.createDirectories(path.getParent());
        try (FileOutputStream out = new FileOutputStream(new File(path.toString()))) {
            assertTrue(bitmap.compress(format, 80, out));
        }
    }
}
