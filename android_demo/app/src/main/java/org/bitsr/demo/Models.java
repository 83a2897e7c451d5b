package org.bitsr.demo;

import android.util.Log;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

import org.bitsr.engine.ArgumentException;
import org.bitsr.engine.BitsrException;
import org.bitsr.engine.Engine;
import org.bitsr.engine.EngineOptions;
import org.bitsr.engine.Upscaler;

/** The models, as {@code bitsr export --android} wrote them: nothing about one is known here. */
final class Models {
    private static final String FOLDER = "models";
    /** The formats that the engine opens; what else lies in the folder belongs to one of these files. */
    private static final List<String> FORMATS = List.of("tflite", "pte");
    /** The runtime without a framework; the others are called by the format that they run. */
    static final String CORE = "core";

    private final Content content;
    private final Map<String, List<String>> formats = new TreeMap<>();
    private final Map<String, Boolean> ofOurOps = new HashMap<>();

    Models(Content content) {
        this.content = content;
        List<String> files = content.list(FOLDER);
        for (String format : FORMATS) {
            for (String file : files) {
                if (file.endsWith("." + format)) {
                    String name = file.substring(0, file.length() - format.length() - 1);
                    formats.computeIfAbsent(name, key -> new ArrayList<>()).add(format);
                }
            }
        }
    }

    List<String> names() {
        return new ArrayList<>(formats.keySet());
    }

    List<String> formats(String name) {
        return formats.getOrDefault(name, Collections.emptyList());
    }

    /** What runs a model, the usual one first: {@link #CORE} where it is made of our ops alone, and its formats. */
    List<String> runtimes(String name) {
        List<String> runtimes = new ArrayList<>(formats(name));
        if (!runtimes.isEmpty() && ofOurOps.computeIfAbsent(name, this::runsInCore)) {
            runtimes.add(0, CORE);
        }
        return runtimes;
    }

    /** Opening says it; that takes some milliseconds. What can not be opened says why where it is to run. */
    private boolean runsInCore(String name) {
        try (Upscaler upscaler = open(name, CORE, 1)) {
            return upscaler.info().runtime.equals(CORE);
        } catch (IOException | BitsrException error) {
            Log.i("bitsr", name + " does not run in the core", error);
            return false;
        }
    }

    /** The file that a runtime runs, below the folder of assets. */
    String file(String name, String runtime) {
        return FOLDER + "/" + name + "." + (runtime.equals(CORE) ? formats(name).get(0) : runtime);
    }

    /** The model of the smallest file, which is about the fastest; "" where there is none. */
    String smallest() {
        String found = "";
        long least = Long.MAX_VALUE;
        for (String name : names()) {
            try (InputStream in = content.open(file(name, CORE))) {
                // All of it: it is a file, or an asset.
                if (in.available() < least) {
                    least = in.available();
                    found = name;
                }
            } catch (IOException error) {
                Log.i("bitsr", name + " can not be read", error);
            }
        }
        return found;
    }

    /**
     * A .pte of several threads uses the pool of the process, which gets their number first; where another such model
     * is open the pool stays as it is, and {@code info().threads} says how large that is.
     */
    Upscaler open(String name, String runtime, int threads) throws IOException, BitsrException {
        // What was chosen is what runs, also where the core alone could.
        EngineOptions options = new EngineOptions().threads(threads).runtime(runtime.equals(CORE) ? CORE : "framework");
        if (runtime.equals("pte") && threads > 1) {
            try {
                Engine.setProcessThreads(threads, options);
            } catch (ArgumentException inUse) {
                Log.i("bitsr", "the pool of ExecuTorch stays as it is", inUse);
            }
        }
        String path = file(name, runtime);
        File file = content.file(path);
        return file != null ? Upscaler.open(file, options) : Upscaler.open(content.assets, path, options);
    }
}
