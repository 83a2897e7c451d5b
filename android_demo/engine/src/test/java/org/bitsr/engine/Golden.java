package org.bitsr.engine;

import java.awt.image.BufferedImage;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

import javax.imageio.ImageIO;

import org.json.JSONArray;
import org.json.JSONObject;

/** The assets that {@code bitsr export --android} wrote: what Python computed. */
final class Golden {
    static final Path ASSETS = Path.of(System.getProperty("bitsr.assets"));

    final Path folder;
    final JSONObject json;

    Golden(String model) throws Exception {
        folder = ASSETS.resolve("golden").resolve(model);
        json = new JSONObject(Files.readString(folder.resolve("golden.json")));
    }

    static String[] models() {
        String[] names = ASSETS.resolve("golden").toFile().list();
        Arrays.sort(names);
        return names;
    }

    static File model(String name, String format) {
        return ASSETS.resolve("models").resolve(name + "." + format).toFile();
    }

    BufferedImage picture() throws Exception {
        return ImageIO.read(folder.resolve(json.getJSONObject("picture").getString("file")).toFile());
    }

    BufferedImage result(String format) throws Exception {
        return ImageIO.read(folder.resolve(
                json.getJSONObject("picture").getJSONObject("results").getString(format)).toFile());
    }

    static int[] argb(BufferedImage image) {
        return image.getRGB(0, 0, image.getWidth(), image.getHeight(), null, 0, image.getWidth());
    }

    byte[] bytes(String name) throws IOException {
        return Files.readAllBytes(folder.resolve(name));
    }

    static int[] shapes(JSONArray tensors) throws Exception {
        int[] sides = new int[4 * tensors.length()];
        for (int i = 0; i < sides.length; i++) {
            sides[i] = tensors.getJSONArray(i / 4).getInt(i % 4);
        }
        return sides;
    }

    static int count(int[] shapes) {
        int count = 0;
        for (int i = 0; i < shapes.length; i += 4) {
            count += shapes[i] * shapes[i + 1] * shapes[i + 2] * shapes[i + 3];
        }
        return count;
    }

    static float[] floats(byte[] bytes, int start, int count) {
        float[] values = new float[count];
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().position(start).get(values);
        return values;
    }

    static String sidecar(String name) throws IOException {
        return new String(Files.readAllBytes(model(name, "json").toPath()), StandardCharsets.UTF_8);
    }
}
