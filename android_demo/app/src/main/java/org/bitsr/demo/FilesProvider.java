package org.bitsr.demo;

import android.content.ContentProvider;
import android.content.ContentValues;
import android.content.Context;
import android.database.Cursor;
import android.database.MatrixCursor;
import android.net.Uri;
import android.os.ParcelFileDescriptor;
import android.provider.OpenableColumns;

import java.io.File;
import java.io.FileNotFoundException;
import java.util.List;

/**
 * Lends single files of the app's cache to others: results to share, and the place for a photo of the camera. Each
 * {@link Workbench} has its own, so that one never takes those of another away.
 */
public final class FilesProvider extends ContentProvider {
    private static final String AUTHORITY = "org.bitsr.demo.files";
    private static final String FOLDER = "shared";

    /** A file of that name in a workbench's folder, which others can reach by {@link #uri}. */
    static File file(File folder, String name) {
        File shared = new File(folder, FOLDER);
        shared.mkdirs();
        return new File(shared, name);
    }

    static Uri uri(File file) {
        String bench = file.getParentFile().getParentFile().getName();
        return new Uri.Builder().scheme("content").authority(AUTHORITY).appendPath(bench).appendPath(file.getName())
                .build();
    }

    private File find(Uri uri) throws FileNotFoundException {
        List<String> parts = uri.getPathSegments();
        for (String part : parts) {
            if (part.contains("/") || part.startsWith(".")) {
                throw new FileNotFoundException(uri.toString());
            }
        }
        if (parts.size() != 2) {
            throw new FileNotFoundException(uri.toString());
        }
        return file(Workbench.folder(getContext(), parts.get(0)), parts.get(1));
    }

    @Override public boolean onCreate() {
        return true;
    }

    @Override public ParcelFileDescriptor openFile(Uri uri, String mode) throws FileNotFoundException {
        return ParcelFileDescriptor.open(find(uri), ParcelFileDescriptor.parseMode(mode));
    }

    @Override public Cursor query(Uri uri, String[] projection, String selection, String[] values, String order) {
        MatrixCursor cursor = new MatrixCursor(new String[] {OpenableColumns.DISPLAY_NAME, OpenableColumns.SIZE});
        try {
            File file = find(uri);
            cursor.addRow(new Object[] {file.getName(), file.length()});
        } catch (FileNotFoundException none) {
            return cursor;
        }
        return cursor;
    }

    @Override public String getType(Uri uri) {
        String name = String.valueOf(uri.getLastPathSegment());
        return name.endsWith(".png") ? "image/png" : "image/jpeg";
    }

    @Override public Uri insert(Uri uri, ContentValues values) {
        throw new UnsupportedOperationException("files are lent, not taken");
    }

    @Override public int delete(Uri uri, String selection, String[] values) {
        throw new UnsupportedOperationException("files are lent, not taken");
    }

    @Override public int update(Uri uri, ContentValues values, String selection, String[] arguments) {
        throw new UnsupportedOperationException("files are lent, not taken");
    }
}
