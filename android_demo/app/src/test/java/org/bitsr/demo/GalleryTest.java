package org.bitsr.demo;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertTrue;

import android.Manifest;
import android.content.ContentResolver;
import android.net.Uri;
import android.os.Environment;
import android.provider.MediaStore;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.util.Arrays;

import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.Shadows;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;
import org.robolectric.shadows.ShadowContentResolver;

/** Saving: the whole picture is in the gallery, or nothing. */
@RunWith(AppRunner.class)
public class GalleryTest {
    private ActivityController<MainActivity> controller;
    private MainActivity activity;

    @Before public void enlarge() throws Exception {
        Screen.serve(Screen.smallPhoto());
        controller = Robolectric.buildActivity(MainActivity.class, Screen.shareIntent()).setup();
        activity = controller.get();
        Screen.settle(activity);
        assertEquals(Workbench.Stage.DONE, activity.bench().stage);
    }

    private void save() throws Exception {
        activity.findViewById(R.id.save).performClick();
        Screen.settle(activity);
    }

    private byte[] result() throws IOException {
        return Files.readAllBytes(activity.bench().result.file.toPath());
    }

    private static Uri entry() {
        return Uri.parse(MediaStore.Images.Media.getContentUri("external_primary") + "/1");
    }

    @Test @Config(sdk = 35) public void savesThroughTheMediaStore() throws Exception {
        ByteArrayOutputStream saved = new ByteArrayOutputStream();
        ContentResolver resolver = activity.getContentResolver();
        Shadows.shadowOf(resolver).registerOutputStream(entry(), saved);
        save();
        assertArrayEquals(result(), saved.toByteArray());
        ShadowContentResolver shadow = Shadows.shadowOf(resolver);
        assertEquals(1, shadow.getInsertStatements().size());
        assertEquals(1, (int) shadow.getInsertStatements().get(0).getContentValues()
                .getAsInteger(MediaStore.Images.Media.IS_PENDING));
        assertEquals("Pictures/bitsr", shadow.getInsertStatements().get(0).getContentValues()
                .getAsString(MediaStore.Images.Media.RELATIVE_PATH));
        assertEquals(0, (int) shadow.getUpdateStatements().get(0).getContentValues()
                .getAsInteger(MediaStore.Images.Media.IS_PENDING));
        assertTrue(shadow.getDeletedUris().isEmpty());
        String name = activity.bench().result.file.getName();
        assertTrue(Screen.text(activity, R.id.details).contains(activity.getString(R.string.saved, name)));
    }

    @Test @Config(sdk = 35) public void fullStorageLeavesNothing() throws Exception {
        Shadows.shadowOf(activity.getContentResolver()).registerOutputStream(entry(), new OutputStream() {
            private int written;

            @Override public void write(int value) throws IOException {
                if (++written > 1000) {
                    throw new IOException("write failed: ENOSPC (No space left on device)");
                }
            }
        });
        save();
        assertEquals(activity.getString(R.string.fail_space), Screen.text(activity, R.id.headline));
        ShadowContentResolver shadow = Shadows.shadowOf(activity.getContentResolver());
        assertEquals(entry(), shadow.getDeletedUris().get(0));
        assertTrue("it was never shown", shadow.getUpdateStatements().isEmpty());
        assertNotNull("the result is still there", activity.bench().result);
        assertTrue(activity.findViewById(R.id.save).isEnabled());
    }

    /** A process ended while it saved: the next one removes what it left, and only where it is not whole. */
    @Test @Config(sdk = {26, 35}) public void unfinishedPictureOfAnEndedProcessIsRemoved() throws Exception {
        File part = new File(Screen.context().getCacheDir(), ".picture.png.part");
        Files.write(part.toPath(), new byte[] {1});
        boolean old = Gallery.needsPermission();
        Gallery.noteUnfinished(Screen.context(), old ? Uri.fromFile(part) : entry());
        for (int start = 0; start < 2; start++) {
            try (ActivityController<MainActivity> next = Robolectric.buildActivity(MainActivity.class).setup()) {
                Screen.settle(next.get());
                ShadowContentResolver shadow = Shadows.shadowOf(activity.getContentResolver());
                assertEquals(old, !part.exists());
                assertEquals("once", old ? 0 : 1, shadow.getDeleteStatements().size());
                if (!old) {
                    assertEquals(entry(), shadow.getDeleteStatements().get(0).getUri());
                    assertEquals("is_pending = 1", shadow.getDeleteStatements().get(0).getWhere());
                }
            }
        }
    }

    @Test @Config(sdk = 26) public void olderAndroidAsksForPermission() throws Exception {
        File folder = new File(Environment.getExternalStoragePublicDirectory(Environment.DIRECTORY_PICTURES), "bitsr");
        Shadows.shadowOf(activity.getApplication()).denyPermissions(Manifest.permission.WRITE_EXTERNAL_STORAGE);
        save();
        activity.onRequestPermissionsResult(MainActivity.PERMISSION,
                new String[] {Manifest.permission.WRITE_EXTERNAL_STORAGE}, new int[] {-1});
        assertEquals(activity.getString(R.string.fail_save_permission), Screen.text(activity, R.id.headline));
        assertFalse(folder.exists());

        Shadows.shadowOf(activity.getApplication()).grantPermissions(Manifest.permission.WRITE_EXTERNAL_STORAGE);
        save();
        save();
        String[] names = folder.list();
        Arrays.sort(names);
        String name = activity.bench().result.file.getName();
        assertArrayEquals("nothing is replaced, nothing half-written",
                new String[] {name.replace(".png", " (1).png"), name}, names);
        assertArrayEquals(result(), Files.readAllBytes(new File(folder, name).toPath()));
    }

    @Test @Config(sdk = 26) public void folderThatCanNotBeMadeIsExplained() throws Exception {
        File pictures = Environment.getExternalStoragePublicDirectory(Environment.DIRECTORY_PICTURES);
        pictures.getParentFile().mkdirs();
        assertTrue(pictures.delete() || !pictures.exists());
        Files.write(pictures.toPath(), new byte[] {1});
        Shadows.shadowOf(activity.getApplication()).grantPermissions(Manifest.permission.WRITE_EXTERNAL_STORAGE);
        save();
        assertEquals(activity.getString(R.string.fail_save), Screen.text(activity, R.id.headline));
        Files.delete(pictures.toPath());
    }
}
