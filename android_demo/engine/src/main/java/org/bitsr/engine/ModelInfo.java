package org.bitsr.engine;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

import org.bitsr.engine.jni.Native;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** What an open artifact says of itself, and how it runs here. */
public final class ModelInfo {
    /** Id of the model, such as "ebsr_light_plus_x4"; "" where the artifact has no metadata. */
    public final String model;
    /** How many times larger the sides of the result are. */
    public final int scale;
    /** "pte" or "tflite". */
    public final String format;
    /** "core", "executorch", "litert" or "tflite", and the version that the engine was built for. */
    public final String runtime, runtimeVersion;
    /** The instruction set of our kernels that is in use. */
    public final String isa;
    public final int threads;
    public final long artifactBytes;
    /** Whether the network maps an RGB picture to an RGB picture, so that {@link Upscaler#upscale} works. */
    public final boolean upscalesPictures;
    /** The network's input: its least side, what sides are multiples of, and its most pixels (0: no limit). */
    public final long minSide, multiple, maxPixels;
    /** Pixels around a pixel that its result depends on. */
    public final long receptiveFieldRadius;
    /** The memory that a run takes for each pixel of a tile, at most; 0 where it is not known. */
    public final long bytesPerPixel;
    /** What it was trained with. */
    public final List<String> trainingData;
    /** Measured figures: set of pictures, then "psnr" (dB) and the like. */
    public final Map<String, Map<String, Double>> figures;
    /** The metadata as the export wrote it (JSON, docs/formats.md). */
    public final String metadata;

    ModelInfo(long session) throws ArtifactException {
        format = Text.of(Native.text(session, Native.FORMAT_NAME));
        runtime = Text.of(Native.text(session, Native.RUNTIME_NAME));
        runtimeVersion = Text.of(Native.text(session, Native.RUNTIME_VERSION));
        isa = Text.of(Native.text(session, Native.ISA));
        metadata = Text.of(Native.text(session, Native.METADATA));
        scale = (int) Native.number(session, Native.SCALE);
        threads = (int) Native.number(session, Native.THREADS);
        artifactBytes = Native.number(session, Native.ARTIFACT_BYTES);
        minSide = Native.number(session, Native.MIN_SIDE);
        multiple = Native.number(session, Native.MULTIPLE);
        maxPixels = Native.number(session, Native.MAX_PIXELS);
        receptiveFieldRadius = Native.number(session, Native.RECEPTIVE_FIELD_RADIUS);
        upscalesPictures = scale > 0 && Native.number(session, Native.IN_CHANNELS) == 3
                && Native.number(session, Native.OUT_CHANNELS) == 3 && Native.number(session, Native.OTHER_INPUTS) == 0;
        try {
            JSONObject json = new JSONObject(metadata.isEmpty() ? "{}" : metadata);
            model = json.optString("model");
            bytesPerPixel = json.optLong("bytes_per_pixel");
            trainingData = texts(json.optJSONArray("training_data"));
            figures = figures(json.optJSONObject("figures"));
        } catch (JSONException error) {
            throw new ArtifactException("the metadata of the artifact is no JSON: " + error.getMessage()
                    + "; export the model again");
        }
    }

    private static List<String> texts(JSONArray array) throws JSONException {
        List<String> texts = new ArrayList<>();
        for (int i = 0; array != null && i < array.length(); i++) {
            texts.add(array.getString(i));
        }
        return Collections.unmodifiableList(texts);
    }

    private static Map<String, Map<String, Double>> figures(JSONObject json) throws JSONException {
        Map<String, Map<String, Double>> sets = new TreeMap<>();
        for (Iterator<String> names = json == null ? Collections.emptyIterator() : json.keys(); names.hasNext();) {
            String set = names.next();
            Map<String, Double> values = new TreeMap<>();
            JSONObject one = json.getJSONObject(set);
            for (Iterator<String> keys = one.keys(); keys.hasNext();) {
                String key = keys.next();
                values.put(key, one.getDouble(key));
            }
            sets.put(set, Collections.unmodifiableMap(values));
        }
        return Collections.unmodifiableMap(sets);
    }
}
