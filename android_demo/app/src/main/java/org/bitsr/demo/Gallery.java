package org.bitsr.demo;

import android.content.ContentResolver;
import android.content.ContentValues;
import android.content.Context;
import android.content.SharedPreferences;
import android.media.MediaScannerConnection;
import android.net.Uri;
import android.os.Build;
import android.os.Environment;
import android.provider.MediaStore;
import android.util.Log;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;

/**
 * Puts a finished PNG into the gallery; it appears there when it is whole, or not at all. What is being written is noted,
 * so that the next process removes it where this one ends in between.
 */
final class Gallery {
    private static final String FOLDER = "bitsr", NOTES = "gallery", UNFINISHED = "unfinished";

    private Gallery() {}

    /** Whether {@link #save} needs the permission to write. */
    static boolean needsPermission() {
        return Build.VERSION.SDK_INT < Build.VERSION_CODES.Q;
    }

    static synchronized void save(Context context, File png, String name) throws IOException {
        clean(context);
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) {
            Newer.save(context, png, name);
        } else {
            saveOld(context, png, name);
        }
    }

    /** Removes what a process that ended while it saved has left; whole pictures stay. */
    static synchronized void clean(Context context) {
        String left = notes(context).getString(UNFINISHED, null);
        if (left == null) {
            return;
        }
        Uri uri = Uri.parse(left);
        if (uri.getScheme().equals(ContentResolver.SCHEME_FILE)) {
            new File(uri.getPath()).delete();
        } else {
            try {
                context.getContentResolver().delete(uri, MediaStore.MediaColumns.IS_PENDING + " = 1", null);
            } catch (RuntimeException error) {
                Log.i("bitsr", "the gallery has removed the unfinished picture itself", error);
            }
        }
        noteUnfinished(context, null);
    }

    private static SharedPreferences notes(Context context) {
        return context.getSharedPreferences(NOTES, Context.MODE_PRIVATE);
    }

    /** At once: the process may end at any time. */
    static void noteUnfinished(Context context, Uri uri) {
        notes(context).edit().putString(UNFINISHED, uri == null ? null : uri.toString()).commit();
    }

    /** Until Android 9 the gallery shows what lies in the folder and is announced; names with a dot are hidden. */
    private static void saveOld(Context context, File png, String name) throws IOException {
        File folder = new File(Environment.getExternalStoragePublicDirectory(Environment.DIRECTORY_PICTURES), FOLDER);
        if (!folder.isDirectory() && !folder.mkdirs()) {
            throw new FileNotFoundException("the folder " + folder + " can not be made");
        }
        File part = new File(folder, "." + name + ".part"), target = free(folder, name);
        noteUnfinished(context, Uri.fromFile(part));
        try {
            try (InputStream in = new FileInputStream(png); FileOutputStream out = new FileOutputStream(part)) {
                Photos.pour(in, out);
                out.getFD().sync();
            }
            if (!part.renameTo(target)) {
                throw new IOException("the file " + target + " can not be made");
            }
        } finally {
            part.delete();
            noteUnfinished(context, null);
        }
        MediaScannerConnection.scanFile(context, new String[] {target.getPath()}, new String[] {"image/png"}, null);
    }

    /** Nothing is replaced: a second picture of the name gets a number. */
    private static File free(File folder, String name) {
        String stem = name.substring(0, name.lastIndexOf('.')), ending = name.substring(name.lastIndexOf('.'));
        File file = new File(folder, name);
        for (int number = 1; file.exists(); number++) {
            file = new File(folder, stem + " (" + number + ")" + ending);
        }
        return file;
    }

    @NewerApi
    private static final class Newer {
        static void save(Context context, File png, String name) throws IOException {
            ContentResolver resolver = context.getContentResolver();
            ContentValues values = new ContentValues();
            values.put(MediaStore.Images.Media.DISPLAY_NAME, name);
            values.put(MediaStore.Images.Media.MIME_TYPE, "image/png");
            values.put(MediaStore.Images.Media.RELATIVE_PATH, Environment.DIRECTORY_PICTURES + "/" + FOLDER);
            values.put(MediaStore.Images.Media.IS_PENDING, 1);
            Uri entry = resolver.insert(
                    MediaStore.Images.Media.getContentUri(MediaStore.VOLUME_EXTERNAL_PRIMARY), values);
            if (entry == null) {
                throw new IOException("the gallery takes no pictures");
            }
            noteUnfinished(context, entry);
            boolean whole = false;
            try (InputStream in = new FileInputStream(png)) {
                try (OutputStream out = resolver.openOutputStream(entry)) {
                    if (out == null) {
                        throw new FileNotFoundException(entry.toString());
                    }
                    Photos.pour(in, out);
                }
                ContentValues done = new ContentValues();
                done.put(MediaStore.Images.Media.IS_PENDING, 0);
                resolver.update(entry, done, null, null);
                whole = true;
            } finally {
                if (!whole) {
                    resolver.delete(entry, null, null);
                }
                noteUnfinished(context, null);
            }
        }
    }
}
