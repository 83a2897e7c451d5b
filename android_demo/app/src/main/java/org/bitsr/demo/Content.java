package org.bitsr.demo;

import android.content.Context;
import android.content.res.AssetManager;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;

/**
 * Models and golden inputs: those that the app was built with, and those that a computer put into its folder on the
 * shared storage ({@code adb push ASSETS/. /sdcard/Android/data/org.bitsr.demo/files/}), which go before.
 */
final class Content {
    final AssetManager assets;
    private final File folder;

    Content(Context context) {
        assets = context.getAssets();
        folder = context.getExternalFilesDir(null);
    }

    /** Names in a folder, in order. */
    List<String> list(String path) {
        TreeSet<String> names = new TreeSet<>();
        String[] files = folder == null ? null : new File(folder, path).list();
        names.addAll(Arrays.asList(files == null ? new String[0] : files));
        try {
            String[] packed = assets.list(path);
            for (String name : packed == null ? new String[0] : packed) {
                // An emulated framework names files of folders below, too.
                names.add(name.contains("/") ? name.substring(0, name.indexOf('/')) : name);
            }
        } catch (IOException none) {
            return new ArrayList<>(names);
        }
        return new ArrayList<>(names);
    }

    /** The file of that path; null where it is an asset. */
    File file(String path) {
        File file = folder == null ? null : new File(folder, path);
        return file != null && file.isFile() ? file : null;
    }

    InputStream open(String path) throws IOException {
        File file = file(path);
        return file != null ? new FileInputStream(file) : assets.open(path);
    }

    byte[] read(String path) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (InputStream in = open(path)) {
            Photos.pour(in, out);
        }
        return out.toByteArray();
    }
}
