package org.bitsr.demo;

import android.content.Context;
import android.graphics.Bitmap;
import android.graphics.BitmapFactory;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;

import org.bitsr.engine.BitsrException;
import org.bitsr.engine.Engine;
import org.bitsr.engine.UnsupportedException;
import org.bitsr.engine.Upscaler;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** Golden inputs through this device, compared with what Python computed (docs/formats.md). */
final class Parity {
    private static final String FOLDER = "golden";

    /** One comparison and its outcome. */
    static final class Check {
        final String model, name, detail;
        final boolean passed;

        Check(String model, String name, String detail, boolean passed) {
            this.model = model;
            this.name = name;
            this.detail = detail;
            this.passed = passed;
        }
    }

    private final Context context;
    private final Content content;
    private final Models models;

    Parity(Context context) {
        this.context = context;
        content = new Content(context);
        models = new Models(content);
    }

    private interface Test {
        Check run() throws IOException, JSONException, BitsrException;
    }

    private final class Step {
        final String model, name;
        final Test test;

        Step(String model, String name, Test test) {
            this.model = model;
            this.name = name;
            this.test = test;
        }

        Check run() {
            try {
                return test.run();
            } catch (IOException | JSONException | BitsrException | RuntimeException | OutOfMemoryError error) {
                Failure failure = Failures.of(context, error);
                return new Check(model, name, failure.title + ". " + failure.hint, false);
            }
        }
    }

    /** All comparisons, in order; {@code total} hears their number first, {@code done} each outcome. */
    void run(Consumer<Integer> total, Consumer<Check> done) throws IOException, JSONException, UnsupportedException {
        List<Step> steps = new ArrayList<>();
        for (String model : content.list(FOLDER)) {
            String folder = FOLDER + "/" + model + "/";
            JSONObject golden = new JSONObject(new String(content.read(folder + "golden.json"), StandardCharsets.UTF_8));
            JSONObject picture = golden.getJSONObject("picture");
            JSONObject results = picture.getJSONObject("results");
            for (String runtime : models.runtimes(model)) {
                String result = results.optString(runtime.equals(Models.CORE) ? models.formats(model).get(0) : runtime);
                if (!result.isEmpty()) {
                    String name = context.getString(R.string.parity_picture, Facts.runtime(context, runtime));
                    steps.add(new Step(model, name, () -> picture(model, name, runtime, folder, result, picture)));
                }
            }
            JSONArray ops = golden.getJSONArray("ops");
            for (int i = 0; i < ops.length(); i++) {
                JSONObject op = ops.getJSONObject(i);
                String name = context.getString(R.string.parity_op, op.getString("kind").replace('_', ' '),
                        op.getString("check"));
                steps.add(new Step(model, name, () -> op(model, name, folder, op)));
            }
        }
        total.accept(steps.size());
        for (Step step : steps) {
            done.accept(step.run());
        }
    }

    /**
     * A picture: exact, or as near as the golden file allows where the network has float layers, which another processor
     * rounds otherwise.
     */
    private Check picture(String model, String name, String runtime, String folder, String result, JSONObject golden)
            throws IOException, JSONException, BitsrException {
        Bitmap input = decode(folder + golden.getString("file"));
        Bitmap expected = decode(folder + result);
        int[] wanted = pixels(expected), got;
        try (Upscaler upscaler = models.open(model, runtime, 1)) {
            got = upscaler.upscale(pixels(input), input.getWidth(), input.getHeight(), null);
        }
        if (got.length != wanted.length) {
            return new Check(model, name, got.length + " / " + wanted.length, false);
        }
        int differing = 0, largest = 0;
        double squares = 0;
        for (int i = 0; i < got.length; i++) {
            int worst = 0;
            for (int shift = 0; shift < 24; shift += 8) {
                int difference = Math.abs((got[i] >> shift & 0xff) - (wanted[i] >> shift & 0xff));
                squares += (double) difference * difference;
                worst = Math.max(worst, difference);
            }
            differing += worst > 0 ? 1 : 0;
            largest = Math.max(largest, worst);
        }
        if (differing == 0) {
            return new Check(model, name, context.getString(R.string.parity_pixels_exact, got.length), true);
        }
        double psnr = 10 * Math.log10(255.0 * 255.0 * 3 * got.length / squares);
        return new Check(model, name,
                context.getString(R.string.parity_pixels_close, psnr, differing, got.length, largest),
                psnr >= golden.optDouble("min_psnr_db", Double.POSITIVE_INFINITY));
    }

    /** An op: bit for bit, on every instruction set of the processor. */
    private Check op(String model, String name, String folder, JSONObject op)
            throws IOException, JSONException, BitsrException {
        byte[] program = content.read(folder + op.getString("program"));
        int[] inputs = shapes(op.getJSONArray("inputs")), outputs = shapes(op.getJSONArray("outputs"));
        ByteBuffer values = ByteBuffer.wrap(content.read(folder + op.getString("values"))).order(ByteOrder.LITTLE_ENDIAN);
        float[] in = new float[count(inputs)], expected = new float[count(outputs)];
        values.asFloatBuffer().get(in).get(expected);
        for (String isa : Engine.instructionSets()) {
            float[] got = Engine.replay(program, isa, in, inputs, outputs);
            int differing = 0;
            double largest = 0;
            for (int i = 0; i < got.length; i++) {
                if (Float.floatToRawIntBits(got[i]) != Float.floatToRawIntBits(expected[i])) {
                    differing++;
                    largest = Math.max(largest, Math.abs((double) got[i] - expected[i]));
                }
            }
            if (differing > 0) {
                return new Check(model, name,
                        context.getString(R.string.parity_values_differ, differing, got.length, largest, isa), false);
            }
        }
        return new Check(model, name, context.getString(R.string.parity_exact, expected.length,
                String.join(", ", Arrays.asList(Engine.instructionSets()))), true);
    }

    private static int[] shapes(JSONArray tensors) throws JSONException {
        int[] sides = new int[4 * tensors.length()];
        for (int i = 0; i < sides.length; i++) {
            sides[i] = tensors.getJSONArray(i / 4).getInt(i % 4);
        }
        return sides;
    }

    private static int count(int[] shapes) {
        int count = 0;
        for (int i = 0; i < shapes.length; i += 4) {
            count += shapes[i] * shapes[i + 1] * shapes[i + 2] * shapes[i + 3];
        }
        return count;
    }

    private static int[] pixels(Bitmap bitmap) {
        int[] pixels = new int[bitmap.getWidth() * bitmap.getHeight()];
        bitmap.getPixels(pixels, 0, bitmap.getWidth(), 0, 0, bitmap.getWidth(), bitmap.getHeight());
        return pixels;
    }

    private Bitmap decode(String asset) throws IOException {
        try (InputStream in = content.open(asset)) {
            Bitmap bitmap = BitmapFactory.decodeStream(in);
            if (bitmap == null) {
                throw new IOException(asset + " is no picture");
            }
            return bitmap;
        }
    }
}
