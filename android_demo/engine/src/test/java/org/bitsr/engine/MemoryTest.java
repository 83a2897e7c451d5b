package org.bitsr.engine;

import static org.junit.Assert.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;

import org.junit.Test;

/** Memory while photos of 0.75, 3 and 12 megapixels are upscaled row by row. */
public class MemoryTest {
    /**
     * What may be held beside Java's heap for any size: less than 12 megapixels as bytes and as a float map, of three
     * channels each and not enlarged.
     */
    private static final long MOST_BYTES = 12_000_000L * 3 * (1 + Float.BYTES);
    private static final int[][] SIZES = {{1000, 750}, {2000, 1500}, {4000, 3000}};

    private static long resident() {
        try {
            String status = Files.readString(Path.of("/proc/self/status"));
            return 1024 * Long.parseLong(status.replaceAll("(?s).*VmRSS:\\s*(\\d+) kB.*", "$1"));
        } catch (java.io.IOException error) {
            throw new AssertionError(error);
        }
    }

    /** Bytes that the process holds more than before, at most. */
    private static long growth(Upscaler upscaler, int width, int height) throws Exception {
        int[] argb = new int[width * height];
        for (int i = 0; i < argb.length; i++) {
            argb[i] = 0xff000000 | i * 0x9e3779b1 >>> 8;
        }
        long before = resident();
        long[] most = {before};
        int scale = upscaler.info().scale;
        long[] rows = {0};
        upscaler.upscale(argb, width, height, Upscaler.TILE_PIXELS, (top, count, part) -> {
            rows[0] += part.length / ((long) width * scale);
            most[0] = Math.max(most[0], resident());
        }, (done, total) -> {
            most[0] = Math.max(most[0], resident());
            return true;
        });
        assertTrue("all rows", rows[0] == (long) height * scale);
        return most[0] - before;
    }

    @Test public void noMapOfTheWholePictureIsHeld() throws Exception {
        try (Upscaler upscaler = Upscaler.open(Golden.model(Golden.models()[0], "tflite"), new EngineOptions())) {
            growth(upscaler, 600, 600);
            for (int[] size : SIZES) {
                long grown = growth(upscaler, size[0], size[1]), pixels = (long) size[0] * size[1];
                System.out.printf("memory: %.2f megapixels, %.1f MB more than before%n", pixels / 1e6, grown / 1e6);
                assertTrue(grown + " bytes for " + pixels + " pixels", grown < MOST_BYTES);
            }
        }
    }
}
