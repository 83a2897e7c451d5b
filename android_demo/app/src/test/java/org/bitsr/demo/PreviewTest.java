package org.bitsr.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.util.Arrays;

import org.junit.Test;
import org.junit.runner.RunWith;

@RunWith(AppRunner.class)
public class PreviewTest {
    @Test public void smallResultIsShownAsItIs() {
        Preview preview = new Preview(3, 2, false);
        preview.accept(0, 1, new int[] {0xff010203, 0xff040506, 0xff070809});
        preview.accept(1, 1, new int[] {0xff0a0b0c, 0xff0d0e0f, 0xff101112});
        assertEquals(1, preview.step);
        assertEquals(0xff070809, preview.bitmap.getPixel(2, 0));
        assertEquals(0xff0d0e0f, preview.bitmap.getPixel(1, 1));
    }

    @Test public void largeResultIsReducedByMeans() {
        int width = 8001, height = 4001;
        Preview preview = new Preview(width, height, false);
        assertEquals(2, preview.step);
        assertTrue((long) preview.bitmap.getWidth() * preview.bitmap.getHeight() <= Preview.MOST_PIXELS);
        for (int top = 0; top < height; top += 3) {
            int rows = Math.min(3, height - top);
            int[] part = new int[rows * width];
            for (int y = 0; y < rows; y++) {
                // Rows of 10 and 20 in turns: their mean is 15.
                Arrays.fill(part, y * width, (y + 1) * width, (top + y) % 2 == 0 ? 0xff0a0a0a : 0xff141414);
            }
            preview.accept(top, rows, part);
        }
        assertEquals(0xff0f0f0f, preview.bitmap.getPixel(0, 0));
        assertEquals(0xff0f0f0f, preview.bitmap.getPixel(3999, 1999));
    }
}
