package org.bitsr.demo;

import android.graphics.Bitmap;

import org.bitsr.engine.Rows;

/**
 * The result as it is shown. One of many pixels is reduced while its rows come, so that it never lies in memory whole:
 * each pixel of the preview is the mean of a square of the result.
 */
final class Preview implements Rows {
    /** 4 bytes each: 48 MB. */
    static final long MOST_PIXELS = 12_000_000;

    final Bitmap bitmap;
    /** Pixels of the result, along a side, that make one of the preview. */
    final int step;
    private final int width, height;
    private final long[] sums;
    private final int[] line;

    Preview(int width, int height, boolean alpha) {
        this.width = width;
        this.height = height;
        int reduced = 1;
        while ((long) (width / reduced) * (height / reduced) > MOST_PIXELS) {
            reduced++;
        }
        step = reduced;
        bitmap = Bitmap.createBitmap(Math.max(width / step, 1), Math.max(height / step, 1), Bitmap.Config.ARGB_8888);
        bitmap.setHasAlpha(alpha);
        sums = new long[step == 1 ? 0 : 4 * bitmap.getWidth()];
        line = new int[step == 1 ? 0 : bitmap.getWidth()];
    }

    @Override public void accept(int top, int count, int[] argb) {
        if (step == 1) {
            bitmap.setPixels(argb, 0, width, 0, top, width, count);
            return;
        }
        for (int y = top; y < top + count && y / step < bitmap.getHeight(); y++) {
            add(argb, (y - top) * width);
            if (y % step == step - 1) {
                emit(y / step);
            }
        }
    }

    private void add(int[] argb, int row) {
        for (int x = 0; x < line.length * step; x++) {
            int pixel = argb[row + x], at = x / step * 4;
            sums[at] += pixel >>> 24;
            sums[at + 1] += pixel >> 16 & 0xff;
            sums[at + 2] += pixel >> 8 & 0xff;
            sums[at + 3] += pixel & 0xff;
        }
    }

    private void emit(int y) {
        long area = (long) step * step, half = area / 2;
        for (int x = 0; x < line.length; x++) {
            int pixel = 0;
            for (int channel = 0; channel < 4; channel++) {
                pixel = pixel << 8 | (int) ((sums[4 * x + channel] + half) / area);
                sums[4 * x + channel] = 0;
            }
            line[x] = pixel;
        }
        bitmap.setPixels(line, 0, line.length, 0, y, line.length, 1);
    }
}
