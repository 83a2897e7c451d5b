package org.bitsr.engine;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

import javax.imageio.ImageIO;

import org.json.JSONArray;
import org.json.JSONObject;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** The engine in this JVM, its native side built for this machine, against what Python computed. */
public class UpscalerTest {
    private static final String[] FORMATS = {"tflite", "pte"};
    private static final String MODEL = Golden.models()[0];

    @Rule public final TemporaryFolder temporary = new TemporaryFolder();

    private static Upscaler open(String model, String format) throws BitsrException {
        return open(model, format, "framework");
    }

    private static Upscaler open(String model, String format, String runtime) throws BitsrException {
        return Upscaler.open(Golden.model(model, format), new EngineOptions().runtime(runtime));
    }

    private static byte[] content(String format) throws IOException {
        return Files.readAllBytes(Golden.model(MODEL, format).toPath());
    }

    @Test public void pixelsAreThoseOfPython() throws Exception {
        assertTrue("x2, x3 and x4", Golden.models().length >= 3);
        for (String model : Golden.models()) {
            Golden golden = new Golden(model);
            BufferedImage picture = golden.picture();
            for (String format : FORMATS) {
                try (Upscaler upscaler = open(model, format)) {
                    int[] result = upscaler.upscale(Golden.argb(picture), picture.getWidth(), picture.getHeight(), null);
                    BufferedImage expected = golden.result(format);
                    assertEquals(picture.getWidth() * upscaler.info().scale, expected.getWidth());
                    assertArrayEquals(model + "." + format, Golden.argb(expected), result);
                }
            }
        }
    }

    /** The models of the app are made of our ops, so that no framework is needed. */
    @Test public void theCoreAloneGivesThePixelsOfPython() throws Exception {
        for (String model : Golden.models()) {
            Golden golden = new Golden(model);
            BufferedImage picture = golden.picture();
            for (String format : FORMATS) {
                try (Upscaler upscaler = open(model, format, "auto")) {
                    assertEquals("core", upscaler.info().runtime);
                    int[] result = upscaler.upscale(Golden.argb(picture), picture.getWidth(), picture.getHeight(), null);
                    assertArrayEquals(model + "." + format, Golden.argb(golden.result(format)), result);
                }
            }
        }
        assertThrows(ArgumentException.class, () -> open(MODEL, "tflite", "fast"));
    }

    @Test public void opsAreThoseOfPythonOnEveryInstructionSet() throws Exception {
        int replayed = 0;
        for (String model : Golden.models()) {
            Golden golden = new Golden(model);
            JSONArray ops = golden.json.getJSONArray("ops");
            for (int i = 0; i < ops.length(); i++) {
                JSONObject op = ops.getJSONObject(i);
                int[] inputs = Golden.shapes(op.getJSONArray("inputs")), outputs = Golden.shapes(op.getJSONArray("outputs"));
                byte[] values = golden.bytes(op.getString("values"));
                float[] in = Golden.floats(values, 0, Golden.count(inputs));
                float[] out = Golden.floats(values, in.length, Golden.count(outputs));
                for (String isa : Engine.instructionSets()) {
                    float[] got = Engine.replay(golden.bytes(op.getString("program")), isa, in, inputs, outputs);
                    for (int v = 0; v < out.length; v++) {
                        assertEquals(isa + " " + op, Float.floatToRawIntBits(out[v]), Float.floatToRawIntBits(got[v]));
                    }
                    replayed++;
                }
            }
        }
        assertTrue(replayed > 0);
    }

    @Test public void everyWayOfOpeningGivesTheSame() throws Exception {
        int[] picture = Golden.argb(new Golden(MODEL).picture());
        int width = 61, height = picture.length / width;
        try (Upscaler file = open(MODEL, "pte");
                Upscaler buffer = Upscaler.open(ByteBuffer.wrap(content("pte")), Golden.sidecar(MODEL),
                        new EngineOptions().runtime("framework"));
                Upscaler stream = Upscaler.open(new ByteArrayInputStream(content("tflite")), null,
                        new EngineOptions().threads(2).isa("portable").runtime("framework"))) {
            assertEquals("pte", file.info().format);
            assertEquals("executorch", file.info().runtime);
            assertEquals("litert", stream.info().runtime);
            assertEquals("portable", stream.info().isa);
            assertEquals(2, stream.info().threads);
            assertEquals(MODEL, stream.info().model);
            assertEquals(file.info().metadata, buffer.info().metadata);
            assertTrue(file.info().upscalesPictures && file.info().bytesPerPixel > 0);
            assertArrayEquals(file.upscale(picture, width, height, null), buffer.upscale(picture, width, height, null));
        }
    }

    @Test public void rowsOfManyTilesComeFromTopToBottomAndIntoAPng() throws Exception {
        BufferedImage image = new Golden(MODEL).picture();
        int[] picture = Golden.argb(image);
        int width = image.getWidth(), height = image.getHeight();
        try (Upscaler upscaler = open(MODEL, "tflite")) {
            int scale = upscaler.info().scale, row = width * scale;
            long side = 2 * upscaler.info().receptiveFieldRadius + 16;
            assertTrue("several tiles", side < height);
            int[] parts = new int[picture.length * scale * scale];
            List<Integer> ends = new ArrayList<>(List.of(0));
            ByteArrayOutputStream file = new ByteArrayOutputStream();
            try (PngWriter png = new PngWriter(file, row, height * scale, false, null)) {
                upscaler.upscale(picture, width, height, side * side, (top, count, argb) -> {
                    assertEquals(ends.get(ends.size() - 1), (Integer) top);
                    ends.add(top + count);
                    System.arraycopy(argb, 0, parts, top * row, count * row);
                    png.accept(top, count, argb);
                }, null);
                png.finish();
            }
            assertTrue(ends.toString(), ends.size() > 2);
            assertEquals(height * scale, (int) ends.get(ends.size() - 1));
            BufferedImage read = ImageIO.read(new ByteArrayInputStream(file.toByteArray()));
            assertEquals(3, read.getColorModel().getNumComponents());
            assertArrayEquals(parts, Golden.argb(read));
            // Gates look at the mean of a tile, so that tiles change the result a little.
            int[] whole = upscaler.upscale(picture, width, height, null);
            long difference = 0;
            for (int i = 0; i < whole.length; i++) {
                for (int shift = 0; shift < 24; shift += 8) {
                    difference += Math.abs((whole[i] >> shift & 0xff) - (parts[i] >> shift & 0xff));
                }
            }
            assertTrue(difference / (3.0 * whole.length) + " levels", difference < 3 * 3 * whole.length);
        }
    }

    @Test public void greyStaysGreyAndTransparencyStays() throws Exception {
        int width = 20, height = 12;
        int[] picture = new int[width * height];
        for (int i = 0; i < picture.length; i++) {
            int level = i * 7 % 256;
            picture[i] = (i % width < 10 ? 0xff : 0x40) << 24 | level << 16 | level << 8 | level;
        }
        try (Upscaler upscaler = open(MODEL, "tflite")) {
            int[] result = upscaler.upscale(picture, width, height, null);
            int scale = upscaler.info().scale, row = width * scale;
            for (int pixel : result) {
                assertEquals(pixel & 0xff, pixel >> 8 & 0xff);
                assertEquals(pixel & 0xff, pixel >> 16 & 0xff);
            }
            assertEquals(0xff, result[0] >>> 24);
            assertEquals(0x40, result[row - 1] >>> 24);
            ByteArrayOutputStream file = new ByteArrayOutputStream();
            try (PngWriter png = new PngWriter(file, row, height * scale, true, null)) {
                png.accept(0, height * scale, result);
                png.finish();
            }
            assertArrayEquals(result, Golden.argb(ImageIO.read(new ByteArrayInputStream(file.toByteArray()))));
        }
    }

    @Test public void progressGrowsAndCancels() throws Exception {
        int[] picture = new int[64 * 64];
        for (String format : FORMATS) {
            try (Upscaler upscaler = open(MODEL, format)) {
                List<Long> seen = new ArrayList<>();
                int[] result = upscaler.upscale(picture, 64, 64, (done, total) -> {
                    assertEquals(64 * 64, total);
                    return seen.add(done);
                });
                assertEquals(0L, (long) seen.get(0));
                assertEquals(64L * 64, (long) seen.get(seen.size() - 1));
                assertThrows(CancelledException.class, () -> upscaler.upscale(picture, 64, 64, (done, total) -> false));
                // The session goes on as if nothing had been.
                assertArrayEquals(result, upscaler.upscale(picture, 64, 64, null));
            }
        }
    }

    @Test public void exceptionsOfListenersReachTheCaller() throws Exception {
        int[] picture = new int[32 * 32];
        Upscaler upscaler = open(MODEL, "tflite");
        try {
            IOException full = new IOException("no space");
            assertSame(full, assertThrows(IOException.class, () -> upscaler.upscale(picture, 32, 32, 1 << 16,
                    (top, count, argb) -> {
                        throw full;
                    }, null)));
            assertThrows(IllegalStateException.class,
                    () -> upscaler.upscale(picture, 32, 32, (done, total) -> {
                        upscaler.close();
                        return true;
                    }));
        } finally {
            upscaler.close();
        }
    }

    @Test public void closingEndsARunningCall() throws Exception {
        Upscaler upscaler = open(MODEL, "tflite");
        CountDownLatch started = new CountDownLatch(1);
        ExecutorService other = Executors.newSingleThreadExecutor();
        int side = 512;
        Future<int[]> work = other.submit(() -> upscaler.upscale(new int[side * side], side, side, (done, total) -> {
            started.countDown();
            return true;
        }));
        started.await();
        upscaler.close();
        upscaler.close();
        Exception error = assertThrows(Exception.class, work::get);
        assertTrue(String.valueOf(error), error.getCause() instanceof CancelledException);
        assertThrows(IllegalStateException.class, () -> upscaler.upscale(new int[64], 8, 8, null));
        other.shutdown();
    }

    @Test public void brokenArtifactsAreRefused() throws Exception {
        for (String format : FORMATS) {
            byte[] whole = content(format);
            String metadata = format.equals("pte") ? Golden.sidecar(MODEL) : null;
            byte[] changed = whole.clone();
            changed[changed.length / 2] ^= 1;
            for (byte[] bad : List.of(new byte[0], Arrays.copyOf(whole, whole.length / 2), changed, "no model".getBytes())) {
                ArtifactException error = assertThrows(ArtifactException.class,
                        () -> Upscaler.open(ByteBuffer.wrap(bad), metadata, new EngineOptions()));
                assertTrue(error.getMessage(), error.getMessage().length() > 20);
            }
        }
        String newer = Golden.sidecar(MODEL).replace("\"format_version\": 2", "\"format_version\": 3");
        assertFalse(newer.equals(Golden.sidecar(MODEL)));
        assertThrows(ArtifactException.class,
                () -> Upscaler.open(ByteBuffer.wrap(content("pte")), newer, new EngineOptions()));
        Path missing = temporary.getRoot().toPath().resolve("größe.tflite");
        ArtifactException error = assertThrows(ArtifactException.class,
                () -> Upscaler.open(missing.toFile(), new EngineOptions()));
        assertTrue(error.getMessage(), error.getMessage().contains("größe.tflite"));
    }

    @Test public void wrongArgumentsAreRefused() throws Exception {
        try (Upscaler upscaler = open(MODEL, "tflite")) {
            assertThrows(ArgumentException.class, () -> upscaler.upscale(new int[10], 4, 4, null));
            assertThrows(ArgumentException.class, () -> upscaler.upscale(new int[0], 0, 0, null));
        }
        assertThrows(ArgumentException.class,
                () -> Upscaler.open(Golden.model(MODEL, "tflite"), new EngineOptions().threads(0)));
        assertThrows(BitsrException.class,
                () -> Upscaler.open(Golden.model(MODEL, "tflite"), new EngineOptions().isa("sse9")));
        UnsupportedException error = assertThrows(UnsupportedException.class, () -> Upscaler.open(
                Golden.model(MODEL, "tflite"),
                new EngineOptions().runtime("framework").libraries("/none/libtflite.so", null, null)));
        assertTrue(error.getMessage(), error.getMessage().contains("/none/libtflite.so"));
    }
}
