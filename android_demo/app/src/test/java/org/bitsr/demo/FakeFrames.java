package org.bitsr.demo;

import android.graphics.Bitmap;

import java.util.ArrayList;
import java.util.List;

/** Frames of a test in place of those of a camera; every screen that starts makes one. */
final class FakeFrames implements FrameSource {
    static final List<FakeFrames> MADE = new ArrayList<>();
    Listener listener;
    boolean stopped;

    static void use() {
        MADE.clear();
        LiveActivity.frames = activity -> {
            FakeFrames made = new FakeFrames();
            MADE.add(made);
            return made;
        };
    }

    static FakeFrames last() {
        return MADE.get(MADE.size() - 1);
    }

    @Override public void start(Listener heard) {
        listener = heard;
    }

    @Override public void stop() {
        stopped = true;
    }

    static Frame frame(Bitmap bitmap) {
        return new Frame(MainActivityTest.pixels(bitmap), bitmap.getWidth(), bitmap.getHeight());
    }

    /** A part of the photo, 48 x 36 pixels; each number is another part. */
    static Frame frame(int number) {
        return frame(Bitmap.createBitmap(Screen.photo(), 100 + 2 * number, 60 + number, 48, 36));
    }
}
