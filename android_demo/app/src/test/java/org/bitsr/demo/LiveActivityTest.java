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
import android.app.Application;
import android.content.Context;
import android.content.Intent;
import android.content.res.Configuration;
import android.content.pm.PackageManager;
import android.hardware.camera2.CameraManager;
import android.provider.Settings;
import android.view.View;
import android.widget.Spinner;

import java.util.function.Function;

import org.bitsr.engine.EngineOptions;
import org.bitsr.engine.Upscaler;
import org.junit.After;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.Shadows;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;

/** The live screen on Android 15 and on 8.0: frames of a test, the real engine. */
@RunWith(AppRunner.class)
@Config(sdk = {26, 35})
public class LiveActivityTest {
    private final Function<LiveActivity, FrameSource> camera = LiveActivity.frames;

    @Before public void useFakeFrames() {
        FakeFrames.use();
        Shadows.shadowOf((Application) Screen.context()).grantPermissions(Manifest.permission.CAMERA);
    }

    @After public void useTheCamera() {
        LiveActivity.frames = camera;
    }

    private static ActivityController<LiveActivity> launch() {
        return Robolectric.buildActivity(LiveActivity.class).setup();
    }

    /** The screen shows this frame. */
    private static Live.Shown shown(LiveActivity activity, FrameSource.Frame frame) throws Exception {
        Screen.waitFor(() -> activity.shown() != null && activity.shown().frame == frame);
        return activity.shown();
    }

    @Test public void framesAreEnlargedAsByTheEngineAlone() throws Exception {
        try (ActivityController<LiveActivity> controller = launch()) {
            LiveActivity activity = controller.get();
            assertEquals(activity.getString(R.string.live_starting), Screen.text(activity, R.id.headline));
            Models models = new Models(new Content(activity));
            String model = models.smallest();
            assertEquals("the fastest is the usual one", "ebsr_light_plus_tiny_x2", model);
            try (Upscaler upscaler = Upscaler.open(activity.getAssets(), "models/" + model + ".tflite", new EngineOptions())) {
                for (int number = 0; number < 3; number++) {
                    FrameSource.Frame frame = FakeFrames.frame(number);
                    FakeFrames.last().listener.frame(frame);
                    shown(activity, frame);
                    CompareView view = activity.findViewById(R.id.compare);
                    assertArrayEquals(frame.argb, MainActivityTest.pixels(view.before()));
                    assertArrayEquals(upscaler.upscale(frame.argb, frame.width, frame.height, null),
                            MainActivityTest.pixels(view.after()));
                }
            }
            assertTrue(activity.shown().rate > 0);
            assertTrue(Screen.text(activity, R.id.details), Screen.text(activity, R.id.details).contains("48 × 36 → 96 × 72"));
        }
    }

    @Test public void framesThatComeTooFastAreDroppedAndNoneWaits() throws Exception {
        try (ActivityController<LiveActivity> controller = launch()) {
            LiveActivity activity = controller.get();
            FrameSource.Frame[] frames = new FrameSource.Frame[40];
            for (int number = 0; number < frames.length; number++) {
                frames[number] = FakeFrames.frame(number);
            }
            for (FrameSource.Frame frame : frames) {
                FakeFrames.last().listener.frame(frame);
            }
            Live.Shown shown = shown(activity, frames[frames.length - 1]);
            assertEquals(frames.length, shown.frames);
            assertTrue(shown.dropped + " dropped", shown.dropped >= 20);
        }
    }

    @Test public void theModelCanBeChanged() throws Exception {
        try (ActivityController<LiveActivity> controller = launch()) {
            LiveActivity activity = controller.get();
            Spinner model = activity.findViewById(R.id.model), runtime = activity.findViewById(R.id.runtime);
            for (int m = 0; m < model.getCount(); m++) {
                model.setSelection(m);
                runtime.setSelection(m % 2);
                Screen.idle();
                FrameSource.Frame frame = FakeFrames.frame(m);
                FakeFrames.last().listener.frame(frame);
                assertEquals(m + 2, shown(activity, frame).scale);
                assertEquals(m % 2 == 0 ? Models.CORE : "tflite", activity.shown().runtime);
            }
            assertEquals("one camera for all", 1, FakeFrames.MADE.size());
        }
    }

    @Test public void turningAndLeavingFreeTheCamera() throws Exception {
        try (ActivityController<LiveActivity> controller = launch()) {
            FakeFrames first = FakeFrames.last();
            FrameSource.Frame frame = FakeFrames.frame(1);
            first.listener.frame(frame);
            shown(controller.get(), frame);
            RuntimeEnvironment.setQualifiers("+land");
            controller.configurationChange(new Configuration(
                    RuntimeEnvironment.getApplication().getResources().getConfiguration()));
            assertTrue(first.stopped);
            assertEquals(2, FakeFrames.MADE.size());
            FrameSource.Frame later = FakeFrames.frame(2);
            FakeFrames.last().listener.frame(later);
            shown(controller.get(), later);
            controller.pause().stop();
            assertTrue(FakeFrames.last().stopped);
            FakeFrames.last().listener.frame(FakeFrames.frame(3));
            Screen.idle();
            assertSame(later, controller.get().shown().frame);
            controller.start().resume();
            assertEquals(3, FakeFrames.MADE.size());
            assertNull(controller.get().shown());
        }
    }

    @Test public void aCameraThatFailsIsExplainedAndTriedAgain() throws Exception {
        try (ActivityController<LiveActivity> controller = launch()) {
            LiveActivity activity = controller.get();
            FakeFrames.last().listener.failed(new Failure("Another app uses the camera", "Close that app.", null));
            Screen.idle();
            assertEquals("Another app uses the camera", Screen.text(activity, R.id.empty_title));
            assertEquals("Close that app.", Screen.text(activity, R.id.empty_text));
            assertTrue(FakeFrames.last().stopped);
            activity.findViewById(R.id.empty_button).performClick();
            assertEquals(2, FakeFrames.MADE.size());
            FrameSource.Frame frame = FakeFrames.frame(1);
            FakeFrames.last().listener.frame(frame);
            shown(activity, frame);
            assertEquals(View.GONE, activity.findViewById(R.id.empty).getVisibility());
        }
    }

    @Test public void withoutPermissionNoCameraIsStarted() throws Exception {
        Shadows.shadowOf((Application) Screen.context()).denyPermissions(Manifest.permission.CAMERA);
        try (ActivityController<LiveActivity> controller = launch()) {
            LiveActivity activity = controller.get();
            assertArrayEquals(new String[] {Manifest.permission.CAMERA},
                    Shadows.shadowOf((Activity) activity).getLastRequestedPermission().requestedPermissions);
            activity.onRequestPermissionsResult(LiveActivity.PERMISSION, new String[] {Manifest.permission.CAMERA},
                    new int[] {PackageManager.PERMISSION_DENIED});
            assertTrue(FakeFrames.MADE.isEmpty());
            assertEquals(activity.getString(R.string.fail_camera_permission), Screen.text(activity, R.id.empty_title));
            // Refused for good: Android asks no more.
            assertEquals(activity.getString(R.string.open_settings), Screen.text(activity, R.id.empty_button));
            activity.findViewById(R.id.empty_button).performClick();
            Intent settings = Shadows.shadowOf((Activity) activity).getNextStartedActivity();
            while (!Settings.ACTION_APPLICATION_DETAILS_SETTINGS.equals(settings.getAction())) {
                settings = Shadows.shadowOf((Activity) activity).getNextStartedActivity();
            }
            assertEquals("package:" + activity.getPackageName(), settings.getDataString());
            controller.pause().stop();
            Shadows.shadowOf((Application) Screen.context()).grantPermissions(Manifest.permission.CAMERA);
            controller.start().resume();
            assertEquals(1, FakeFrames.MADE.size());
        }
    }

    /** The real source, on a phone without a camera. */
    @Test public void aPhoneWithoutACameraSaysSo() throws Exception {
        LiveActivity.frames = camera;
        CameraManager manager = (CameraManager) Screen.context().getSystemService(Context.CAMERA_SERVICE);
        assertEquals(0, manager.getCameraIdList().length);
        try (ActivityController<LiveActivity> controller = launch()) {
            LiveActivity activity = controller.get();
            String title = activity.getString(R.string.fail_no_lens);
            Screen.waitFor(() -> Screen.text(activity, R.id.empty_title).equals(title));
            assertNotNull(activity.findViewById(R.id.empty_button));
            assertFalse(Screen.text(activity, R.id.empty_text).isEmpty());
        }
    }
}
