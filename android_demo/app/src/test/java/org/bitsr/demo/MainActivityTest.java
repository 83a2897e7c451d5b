package org.bitsr.demo;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertTrue;

import android.Manifest;
import android.app.Activity;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.content.res.Configuration;
import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.net.Uri;
import android.os.Bundle;
import android.provider.MediaStore;
import android.view.View;
import android.widget.Spinner;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.util.Arrays;

import org.bitsr.engine.EngineOptions;
import org.bitsr.engine.Upscaler;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.Shadows;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;

/** The real activity on Android 15 and on 8.0, with the real engine. */
@RunWith(AppRunner.class)
@Config(sdk = {26, 35})
public class MainActivityTest {
    @Before public void servePicture() {
        Screen.serve(Screen.smallPhoto());
    }

    private static ActivityController<MainActivity> launch(Intent intent) {
        return Robolectric.buildActivity(MainActivity.class, intent).setup();
    }

    private static Intent launcher() {
        return new Intent(Intent.ACTION_MAIN).setClass(Screen.context(), MainActivity.class);
    }

    private static MainActivity done(ActivityController<MainActivity> controller) throws Exception {
        MainActivity activity = controller.get();
        Screen.settle(activity);
        Workbench bench = activity.bench();
        assertEquals(bench.failure == null ? "" : bench.failure.getMessage(), Workbench.Stage.DONE, bench.stage);
        return activity;
    }

    @Test public void launchShowsWhatToDo() throws Exception {
        try (ActivityController<MainActivity> controller = launch(launcher())) {
            MainActivity activity = controller.get();
            assertEquals(activity.getString(R.string.empty_title), Screen.text(activity, R.id.empty_title));
            assertFalse(activity.findViewById(R.id.save).isEnabled());
            assertFalse(activity.findViewById(R.id.share).isEnabled());
            Spinner model = activity.findViewById(R.id.model), runtime = activity.findViewById(R.id.runtime);
            assertTrue("x2, x3 and x4", model.getCount() >= 3);
            assertEquals("our library alone, and both frameworks", 3, runtime.getCount());
            assertEquals(activity.getString(R.string.runtime_core), runtime.getSelectedItem());
        }
    }

    @Test public void sharedPictureIsEnlargedAsByTheEngineAlone() throws Exception {
        try (ActivityController<MainActivity> controller = launch(Screen.shareIntent())) {
            MainActivity activity = done(controller);
            Workbench.Result result = activity.bench().result;
            byte[] jpeg = Screen.smallPhoto();
            Bitmap source = BitmapFactory.decodeByteArray(jpeg, 0, jpeg.length), expected;
            assertEquals(Models.CORE, result.choice.runtime);
            String asset = activity.bench().models.file(result.choice.model, "tflite");
            try (Upscaler upscaler = Upscaler.open(activity.getAssets(), asset, new EngineOptions().runtime("framework"))) {
                expected = upscaler.upscale(source, null);
            }
            assertArrayEquals(pixels(expected), pixels(result.preview));
            assertArrayEquals("the file", pixels(expected), pixels(BitmapFactory.decodeFile(result.file.getPath())));
            assertEquals("chelsea_x" + result.scale + ".png", result.file.getName());
            String size = activity.getString(R.string.size, 72, 54, 72 * result.scale, 54 * result.scale);
            assertEquals(size, Screen.text(activity, R.id.headline));
            assertTrue(Screen.text(activity, R.id.details).contains(" " + activity.getString(R.string.runtime_core) + " "));
        }
    }

    @Test public void everyModelAndRuntimeCanBeChosen() throws Exception {
        try (ActivityController<MainActivity> controller = launch(Screen.shareIntent())) {
            MainActivity activity = done(controller);
            Spinner model = activity.findViewById(R.id.model), runtime = activity.findViewById(R.id.runtime);
            for (int m = 0; m < model.getCount(); m++) {
                for (int r = 0; r < runtime.getCount(); r++) {
                    model.setSelection(m);
                    Screen.idle();
                    runtime.setSelection(r);
                    Screen.idle();
                    done(controller);
                    Workbench.Result result = activity.bench().result;
                    assertEquals(m, activity.bench().models.names().indexOf(result.choice.model));
                    assertEquals(activity.bench().models.runtimes(result.choice.model).get(r), result.choice.runtime);
                    assertEquals(72 * result.scale, result.preview.getWidth());
                }
            }
        }
        // The choice is remembered.
        try (ActivityController<MainActivity> controller = launch(launcher())) {
            Spinner runtime = controller.get().findViewById(R.id.runtime);
            assertEquals(2, runtime.getSelectedItemPosition());
        }
    }

    @Test @Config(sdk = {26, 35}) public void aHeicPictureThatCanNotBeReadIsCalledSo() throws Exception {
        // The JVM's Android has no decoder of HEIC, as many phones of Android 8 have none.
        byte[] head = "\0\0\0\u0018ftypheic\0\0\0\0mif1heic".getBytes(StandardCharsets.ISO_8859_1);
        Screen.serve(Arrays.copyOf(head, 4000));
        try (ActivityController<MainActivity> controller = launch(Screen.shareIntent())) {
            MainActivity activity = controller.get();
            Screen.settle(activity);
            assertEquals(activity.getString(R.string.fail_heic), Screen.text(activity, R.id.empty_title));
            assertEquals(activity.getString(R.string.fail_heic_hint), Screen.text(activity, R.id.empty_text));
        }
    }

    @Test public void pickedAndTakenPicturesAreOpened() throws Exception {
        try (ActivityController<MainActivity> controller = launch(launcher())) {
            MainActivity activity = controller.get();
            activity.findViewById(R.id.pick).performClick();
            Intent pick = Shadows.shadowOf(activity).getNextStartedActivityForResult().intent;
            assertEquals(Intent.ACTION_GET_CONTENT, pick.getAction());
            Shadows.shadowOf(activity).receiveResult(pick, Activity.RESULT_CANCELED, null);
            assertEquals(Workbench.Stage.EMPTY, activity.bench().stage);
            activity.findViewById(R.id.pick).performClick();
            Shadows.shadowOf(activity).receiveResult(Shadows.shadowOf(activity).getNextStartedActivityForResult().intent,
                    Activity.RESULT_OK, new Intent().setData(Screen.PICTURE));
            done(controller);

            // Without the permission that the app asks for, Android starts no camera app.
            Shadows.shadowOf(activity.getApplication()).denyPermissions(Manifest.permission.CAMERA);
            activity.findViewById(R.id.camera).performClick();
            activity.onRequestPermissionsResult(MainActivity.CAMERA_PERMISSION,
                    new String[] {Manifest.permission.CAMERA}, new int[] {PackageManager.PERMISSION_DENIED});
            assertEquals(activity.getString(R.string.fail_camera_permission), Screen.text(activity, R.id.headline));
            Shadows.shadowOf(activity.getApplication()).grantPermissions(Manifest.permission.CAMERA);
            activity.findViewById(R.id.camera).performClick();
            Intent take = Shadows.shadowOf(activity).getNextStartedActivityForResult().intent;
            assertEquals(MediaStore.ACTION_IMAGE_CAPTURE, take.getAction());
            Uri place = take.getClipData().getItemAt(0).getUri();
            Robolectric.setupContentProvider(FilesProvider.class, "org.bitsr.demo.files");
            try (OutputStream out = activity.getContentResolver().openOutputStream(place)) {
                out.write(Screen.encoded(Bitmap.createBitmap(20, 30, Bitmap.Config.ARGB_8888), Bitmap.CompressFormat.JPEG));
            }
            Shadows.shadowOf(activity).receiveResult(take, Activity.RESULT_OK, null);
            done(controller);
            assertEquals(20, activity.bench().source.getWidth());
        }
    }

    @Test public void rotationKeepsPictureAndResult() throws Exception {
        try (ActivityController<MainActivity> controller = launch(Screen.shareIntent())) {
            MainActivity first = done(controller);
            Workbench.Result result = first.bench().result;
            RuntimeEnvironment.setQualifiers("+land");
            controller.configurationChange(new Configuration(
                    RuntimeEnvironment.getApplication().getResources().getConfiguration()));
            MainActivity second = controller.get();
            assertFalse(first == second);
            Screen.settle(second);
            assertSame("not computed again", result, second.bench().result);
            CompareView view = second.findViewById(R.id.compare);
            assertSame(result.preview, view.after());
        }
    }

    @Test public void endedProcessGoesOn() throws Exception {
        Bundle state = new Bundle();
        try (ActivityController<MainActivity> controller = launch(Screen.shareIntent())) {
            done(controller);
            controller.saveInstanceState(state);
        }
        // Whoever shared the picture no longer lends it.
        Shadows.shadowOf(Screen.context().getContentResolver()).registerInputStreamSupplier(Screen.PICTURE, () -> {
            throw new SecurityException("gone");
        });
        try (ActivityController<MainActivity> controller =
                Robolectric.buildActivity(MainActivity.class, Screen.shareIntent()).setup(state)) {
            MainActivity activity = done(controller);
            assertEquals(72, activity.bench().source.getWidth());
            assertEquals("chelsea.jpg", activity.bench().name);
        }
    }

    @Test public void processThatEndedInTheMiddleOfTheWorkBeginsItAnew() throws Exception {
        Screen.serve(Screen.encoded(Bitmap.createScaledBitmap(Screen.photo(), 300, 200, true), Bitmap.CompressFormat.JPEG));
        Bundle state = new Bundle();
        File part;
        try (ActivityController<MainActivity> controller = launch(Screen.shareIntent())) {
            Workbench bench = controller.get().bench();
            Screen.waitFor(() -> bench.stage == Workbench.Stage.WORKING);
            controller.saveInstanceState(state);
            part = bench.part();
            bench.cancel();
            Screen.settle(controller.get());
        }
        // Of the process that ended.
        Files.write(part.toPath(), "a half-written result".getBytes());
        try (ActivityController<MainActivity> controller =
                Robolectric.buildActivity(MainActivity.class, Screen.shareIntent()).setup(state)) {
            Workbench.Result result = done(controller).bench().result;
            assertEquals(300, controller.get().bench().source.getWidth());
            assertArrayEquals(pixels(result.preview), pixels(BitmapFactory.decodeFile(result.file.getPath())));
            assertFalse(part.exists());
        }
    }

    /** The cache is on a device that takes nothing: Linux' /dev/full. */
    @Test public void resultWithoutSpaceIsExplainedAndNothingIsLeft() throws Exception {
        File part = new File(Workbench.folder(Screen.context(), "full"), "result.part");
        Files.createDirectories(part.getParentFile().toPath());
        Files.createSymbolicLink(part.toPath(), new File("/dev/full").toPath());
        Bundle state = new Bundle();
        state.putString("bench", "full");
        try (ActivityController<MainActivity> controller =
                Robolectric.buildActivity(MainActivity.class, Screen.shareIntent()).setup(state)) {
            MainActivity activity = controller.get();
            Screen.settle(activity);
            assertEquals(Workbench.Stage.FAILED, activity.bench().stage);
            assertEquals(activity.getString(R.string.fail_space), Screen.text(activity, R.id.headline));
            assertFalse(Files.exists(part.toPath(), LinkOption.NOFOLLOW_LINKS));
            assertFalse(activity.findViewById(R.id.save).isEnabled());
            CompareView view = activity.findViewById(R.id.compare);
            assertNotNull("the picture stays", view.before());
            // With space again the same picture goes through.
            controller.newIntent(Screen.shareIntent());
            done(controller);
        }
    }

    @Test public void workCanBeCancelledAndBegunAgain() throws Exception {
        Screen.serve(Screen.encoded(Bitmap.createScaledBitmap(Screen.photo(), 600, 400, true), Bitmap.CompressFormat.JPEG));
        try (ActivityController<MainActivity> controller = launch(Screen.shareIntent())) {
            MainActivity activity = controller.get();
            Screen.waitFor(() -> activity.bench().stage == Workbench.Stage.WORKING);
            assertEquals(View.VISIBLE, activity.findViewById(R.id.progress_row).getVisibility());
            activity.findViewById(R.id.cancel).performClick();
            assertEquals(Workbench.Stage.READY, activity.bench().stage);
            assertEquals(activity.getString(R.string.cancelled), Screen.text(activity, R.id.headline));
            Screen.settle(activity);
            assertNull(activity.bench().result);
            assertFalse(activity.bench().part().exists());
            CompareView view = activity.findViewById(R.id.compare);
            assertNotNull("the picture stays", view.before());
            Screen.serve(Screen.smallPhoto());
            controller.newIntent(Screen.shareIntent());
            done(controller);
        }
    }

    @Test public void brokenPicturesAreExplained() throws Exception {
        byte[] whole = Screen.encoded(Screen.photo(), Bitmap.CompressFormat.PNG);
        for (byte[] bad : new byte[][] {new byte[0], "no picture".getBytes(), Arrays.copyOf(whole, 20)}) {
            Screen.serve(bad);
            try (ActivityController<MainActivity> controller = launch(Screen.shareIntent())) {
                MainActivity activity = controller.get();
                Screen.settle(activity);
                assertEquals(activity.getString(R.string.fail_decode), Screen.text(activity, R.id.empty_title));
                assertEquals(activity.getString(R.string.fail_decode_hint), Screen.text(activity, R.id.empty_text));
            }
        }
    }

    @Test public void missingPermissionAndMissingFileAreExplained() throws Exception {
        for (RuntimeException thrown : new RuntimeException[] {new SecurityException("not granted"), null}) {
            Shadows.shadowOf(Screen.context().getContentResolver()).registerInputStreamSupplier(Screen.PICTURE, () -> {
                if (thrown != null) {
                    throw thrown;
                }
                return new InputStream() {
                    @Override public int read() throws IOException {
                        throw new IOException("the card was taken out");
                    }
                };
            });
            try (ActivityController<MainActivity> controller = launch(Screen.shareIntent())) {
                MainActivity activity = controller.get();
                Screen.settle(activity);
                assertEquals(activity.getString(thrown != null ? R.string.fail_permission : R.string.fail_gone),
                        Screen.text(activity, R.id.empty_title));
                assertFalse(Screen.text(activity, R.id.empty_text).isEmpty());
            }
        }
    }

    /** A picture whose header says 30000 x 30000: it is refused before its pixels are asked for. */
    @Test public void pictureLargerThanMemoryIsRefusedBeforeItIsRead() throws Exception {
        byte[] png = Screen.encoded(Bitmap.createBitmap(4, 4, Bitmap.Config.ARGB_8888), Bitmap.CompressFormat.PNG);
        java.nio.ByteBuffer header = java.nio.ByteBuffer.wrap(png);
        header.putInt(16, 30_000).putInt(20, 30_000);
        java.util.zip.CRC32 crc = new java.util.zip.CRC32();
        crc.update(png, 12, 17);
        header.putInt(29, (int) crc.getValue());
        Screen.serve(png);
        try (ActivityController<MainActivity> controller = launch(Screen.shareIntent())) {
            MainActivity activity = controller.get();
            Screen.settle(activity);
            assertEquals(activity.getString(R.string.fail_large), Screen.text(activity, R.id.empty_title));
            assertTrue(Screen.text(activity, R.id.empty_text), Screen.text(activity, R.id.empty_text).contains("900"));
        }
    }

    @Test public void sharingWithoutAPictureIsExplained() throws Exception {
        Intent nothing = new Intent(Intent.ACTION_SEND).setType("image/*").setClass(Screen.context(), MainActivity.class);
        try (ActivityController<MainActivity> controller = launch(nothing)) {
            assertEquals(controller.get().getString(R.string.fail_gone), Screen.text(controller.get(), R.id.headline));
        }
    }

    /** The app shows one picture in its own task and another in that of the app that shared it. */
    @Test public void twoWindowsKeepTheirOwnPictures() throws Exception {
        try (ActivityController<MainActivity> first = launch(Screen.shareIntent())) {
            File result = done(first).bench().result.file;
            Screen.serve(Screen.encoded(Bitmap.createBitmap(20, 30, Bitmap.Config.ARGB_8888), Bitmap.CompressFormat.JPEG));
            try (ActivityController<MainActivity> second = launch(Screen.shareIntent())) {
                done(second);
                assertTrue("what another app may be reading", result.exists());
                assertTrue(first.get().bench().copy().length() != second.get().bench().copy().length());
            }
        }
    }

    @Test public void resultIsShared() throws Exception {
        Robolectric.setupContentProvider(FilesProvider.class, "org.bitsr.demo.files");
        try (ActivityController<MainActivity> controller = launch(Screen.shareIntent())) {
            MainActivity activity = done(controller);
            activity.findViewById(R.id.share).performClick();
            Intent chooser = Shadows.shadowOf(activity).getNextStartedActivity();
            Intent send = (Intent) chooser.getExtras().get(Intent.EXTRA_INTENT);
            Uri uri = (Uri) send.getExtras().get(Intent.EXTRA_STREAM);
            try (InputStream in = activity.getContentResolver().openInputStream(uri)) {
                assertArrayEquals(pixels(activity.bench().result.preview), pixels(BitmapFactory.decodeStream(in)));
            }
            assertEquals("image/png", activity.getContentResolver().getType(uri));
        }
    }

    @Test public void theLineIsASliderForKeysAndTalkBack() throws Exception {
        try (ActivityController<MainActivity> controller = launch(Screen.shareIntent())) {
            MainActivity activity = done(controller);
            CompareView view = activity.findViewById(R.id.compare);
            float split = view.split();
            android.view.accessibility.AccessibilityNodeInfo info = view.createAccessibilityNodeInfo();
            assertNotNull(info.getRangeInfo());
            assertTrue(view.performAccessibilityAction(
                    android.view.accessibility.AccessibilityNodeInfo.ACTION_SCROLL_FORWARD, null));
            assertTrue(view.split() > split);
            assertTrue(view.onKeyDown(android.view.KeyEvent.KEYCODE_DPAD_LEFT,
                    new android.view.KeyEvent(android.view.KeyEvent.ACTION_DOWN, android.view.KeyEvent.KEYCODE_DPAD_LEFT)));
            assertEquals(split, view.split(), 1e-6);
            assertTrue(view.getContentDescription().toString().contains("50"));
        }
    }

    /** Everything that can be pressed says what it is, and is large enough for a finger. */
    @Test public void everyControlHasAName() throws Exception {
        Screen.phone("", false);
        try (ActivityController<MainActivity> controller = launch(Screen.shareIntent())) {
            MainActivity activity = done(controller);
            float least = 48 * activity.getResources().getDisplayMetrics().density - 1;
            for (int id : new int[] {R.id.pick, R.id.camera, R.id.save, R.id.share, R.id.more, R.id.model, R.id.runtime,
                    R.id.threads}) {
                View view = activity.findViewById(id);
                CharSequence name = view.getContentDescription();
                String text = view instanceof android.widget.Button ? ((android.widget.Button) view).getText().toString() : "";
                assertTrue(activity.getResources().getResourceName(id), name != null && name.length() > 0 || !text.isEmpty());
                assertTrue(activity.getResources().getResourceName(id) + " " + view.getWidth() + "x" + view.getHeight(),
                        view.getWidth() >= least && view.getHeight() >= least);
            }
        }
    }

    static int[] pixels(Bitmap bitmap) {
        int[] pixels = new int[bitmap.getWidth() * bitmap.getHeight()];
        bitmap.getPixels(pixels, 0, bitmap.getWidth(), 0, 0, bitmap.getWidth(), bitmap.getHeight());
        return pixels;
    }
}
