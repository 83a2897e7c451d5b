package org.bitsr.demo;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;

import android.util.Size;

import java.nio.ByteBuffer;

import org.junit.Test;
import org.junit.runner.RunWith;

/** What a camera gives, as upright pixels. */
@RunWith(AppRunner.class)
public class YuvRegionTest {
    private static final int WIDTH = 8, HEIGHT = 6, STRIDE = 10;

    private static YuvRegion.Plane plane(int width, int height, int rowStride, int pixelStride, int[] values) {
        byte[] data = new byte[rowStride * height];
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                data[y * rowStride + x * pixelStride] = (byte) values[y * width + x];
            }
        }
        return new YuvRegion.Plane(ByteBuffer.wrap(data), rowStride, pixelStride);
    }

    private static int[] constant(int count, int value) {
        int[] values = new int[count];
        java.util.Arrays.fill(values, value);
        return values;
    }

    private static FrameSource.Frame grey(int turn) {
        int[] luma = new int[WIDTH * HEIGHT];
        for (int i = 0; i < luma.length; i++) {
            luma[i] = i;
        }
        int[] none = constant(WIDTH * HEIGHT / 4, 128);
        return YuvRegion.of(plane(WIDTH, HEIGHT, STRIDE, 1, luma), plane(4, 3, STRIDE, 2, none),
                plane(4, 3, STRIDE, 2, none), WIDTH, HEIGHT, 4, 2, turn);
    }

    private static int[] levels(FrameSource.Frame frame) {
        int[] levels = new int[frame.argb.length];
        for (int i = 0; i < levels.length; i++) {
            int pixel = frame.argb[i];
            assertEquals("grey", 0xff000000 | (pixel & 0xff) * 0x10101, pixel);
            levels[i] = pixel & 0xff;
        }
        return levels;
    }

    /** The middle 4 x 2 of 8 x 6 pixels 0, 1, 2 and so on, turned clockwise. */
    @Test public void middleIsTurnedUpright() {
        assertArrayEquals(new int[] {18, 19, 20, 21, 26, 27, 28, 29}, levels(grey(0)));
        assertArrayEquals(new int[] {26, 18, 27, 19, 28, 20, 29, 21}, levels(grey(90)));
        assertArrayEquals(new int[] {29, 28, 27, 26, 21, 20, 19, 18}, levels(grey(180)));
        assertArrayEquals(new int[] {21, 29, 20, 28, 19, 27, 18, 26}, levels(grey(270)));
        assertEquals(2, grey(90).width);
        assertEquals(4, grey(90).height);
    }

    /** Colours of JFIF's equations. */
    @Test public void coloursAreThoseOfBt601() {
        int[][] cases = {{76, 85, 255, 0xfffe0000}, {150, 44, 21, 0xff00ff01}, {29, 255, 107, 0xff0000fe},
                {255, 128, 128, 0xffffffff}, {0, 128, 128, 0xff000000}};
        for (int[] one : cases) {
            FrameSource.Frame frame = YuvRegion.of(plane(2, 2, 2, 1, constant(4, one[0])),
                    plane(1, 1, 1, 1, constant(1, one[1])), plane(1, 1, 1, 1, constant(1, one[2])), 2, 2, 2, 2, 0);
            assertArrayEquals(constant(4, one[3]), frame.argb);
        }
    }

    /** A sensor that lies (90), as in most phones; a phone turned counterclockwise. */
    @Test public void theSensorAndThePhoneSayHowToTurn() {
        assertEquals(90, CameraFrames.upright(90, 0, false));
        assertEquals(0, CameraFrames.upright(90, 90, false));
        assertEquals(180, CameraFrames.upright(90, 270, false));
        assertEquals(0, CameraFrames.upright(270, 90, true));
    }

    @Test public void theSmallestFrameThatIsLargeEnoughIsAskedFor() {
        Size vga = new Size(640, 480), full = new Size(1920, 1080), small = new Size(320, 240), tiny = new Size(176, 144);
        assertEquals(vga, CameraFrames.smallest(new Size[] {full, vga, small}));
        assertEquals(vga, CameraFrames.smallest(new Size[] {small, vga, full}));
        assertEquals(small, CameraFrames.smallest(new Size[] {tiny, small}));
    }
}
