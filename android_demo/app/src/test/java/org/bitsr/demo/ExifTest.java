package org.bitsr.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.junit.Assume.assumeTrue;

import android.graphics.Bitmap;
import android.media.ExifInterface;

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;

import org.bitsr.engine.PngWriter;
import org.json.JSONObject;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.junit.runner.RunWith;

/** What of a photo's EXIF data its result keeps: the rules of the command line. */
@RunWith(AppRunner.class)
public class ExifTest {
    @Rule public final TemporaryFolder temporary = new TemporaryFolder();

    /** A JPEG as a phone writes it, by Android's own writer of EXIF data. */
    private File photo() throws IOException {
        File file = temporary.newFile("photo.jpg");
        Bitmap bitmap = Bitmap.createBitmap(8, 6, Bitmap.Config.ARGB_8888);
        Files.write(file.toPath(), Screen.encoded(bitmap, Bitmap.CompressFormat.JPEG));
        ExifInterface exif = new ExifInterface(file.getPath());
        exif.setAttribute(ExifInterface.TAG_ORIENTATION, "6");
        exif.setAttribute(ExifInterface.TAG_MAKE, "Kamera");
        exif.setAttribute(ExifInterface.TAG_DATETIME_ORIGINAL, "2024:05:06 07:08:09");
        exif.setAttribute(ExifInterface.TAG_F_NUMBER, "2.8");
        exif.setAttribute(ExifInterface.TAG_MAKER_NOTE, "secret of the maker");
        exif.setAttribute(ExifInterface.TAG_GPS_LATITUDE, "48/1,8/1,0/1");
        exif.setAttribute(ExifInterface.TAG_GPS_LATITUDE_REF, "N");
        exif.saveAttributes();
        return file;
    }

    @Test public void placeIsDroppedCameraIsKept() throws Exception {
        File photo = photo();
        assertTrue("the test's photo has a place", contains(Files.readAllBytes(photo.toPath()), gpsTag()));
        byte[] kept = Exif.kept(photo);
        ExifInterface read = new ExifInterface(jpegWith(kept).getPath());
        assertEquals("Kamera", read.getAttribute(ExifInterface.TAG_MAKE));
        assertEquals("2024:05:06 07:08:09", read.getAttribute(ExifInterface.TAG_DATETIME_ORIGINAL));
        assertEquals(2.8, read.getAttributeDouble(ExifInterface.TAG_F_NUMBER, 0), 1e-6);
        assertEquals(1, read.getAttributeInt(ExifInterface.TAG_ORIENTATION, 0));
        assertNull(read.getAttribute(ExifInterface.TAG_GPS_LATITUDE));
        assertFalse(new String(kept, StandardCharsets.ISO_8859_1).contains("secret of the maker"));
        // What a PNG carries is found again.
        assertEquals(new String(kept, StandardCharsets.ISO_8859_1),
                new String(Exif.kept(pngWith(kept)), StandardCharsets.ISO_8859_1));
    }

    private static byte[] gpsTag() {
        return new byte[] {(byte) 0x88, 0x25};
    }

    private static boolean contains(byte[] whole, byte[] part) {
        return new String(whole, StandardCharsets.ISO_8859_1).contains(new String(part, StandardCharsets.ISO_8859_1));
    }

    @Test public void damagedDataIsLeftOut() throws Exception {
        byte[] photo = Files.readAllBytes(photo().toPath());
        File file = temporary.newFile("damaged.jpg");
        for (int at = 0; at < Math.min(photo.length, 400); at++) {
            byte[] changed = photo.clone();
            changed[at] ^= (byte) 0x5a;
            Files.write(file.toPath(), changed);
            Exif.kept(file);
            Files.write(file.toPath(), java.util.Arrays.copyOf(photo, at));
            Exif.kept(file);
        }
    }

    @Test public void pictureWithoutDataGetsNone() throws Exception {
        File file = temporary.newFile("plain.png");
        Files.write(file.toPath(), Screen.encoded(Bitmap.createBitmap(4, 4, Bitmap.Config.ARGB_8888), Bitmap.CompressFormat.PNG));
        assertNull(Exif.kept(file));
    }

    private File jpegWith(byte[] exif) throws IOException {
        File file = temporary.newFile("kept.jpg");
        byte[] plain = Screen.encoded(Bitmap.createBitmap(8, 6, Bitmap.Config.ARGB_8888), Bitmap.CompressFormat.JPEG);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        DataOutputStream data = new DataOutputStream(out);
        data.write(plain, 0, 2);
        data.writeShort(0xffe1);
        data.writeShort(2 + 6 + exif.length);
        data.write("Exif\0\0".getBytes(StandardCharsets.US_ASCII));
        data.write(exif);
        data.write(plain, 2, plain.length - 2);
        Files.write(file.toPath(), out.toByteArray());
        return file;
    }

    private File pngWith(byte[] exif) throws IOException {
        File file = temporary.newFile("kept.png");
        try (PngWriter png = new PngWriter(Files.newOutputStream(file.toPath()), 2, 1, false, exif)) {
            png.accept(0, 1, new int[2]);
            png.finish();
        }
        return file;
    }

    /** The files of tests/android/test_app.py, which compares what is written here with the command line. */
    @Test public void keptForPython() throws Exception {
        File[] files = new File(System.getProperty("bitsr.pictures"), "exif").listFiles();
        assumeTrue("written by tests/android/test_app.py", files != null && files.length > 0);
        JSONObject kept = new JSONObject();
        for (File file : files) {
            byte[] data = Exif.kept(file);
            kept.put(file.getName(), data == null ? JSONObject.NULL : Base64.getEncoder().encodeToString(data));
        }
        Path results = Path.of(System.getProperty("bitsr.results"));
        Files.createDirectories(results);
        Files.write(results.resolve("exif.json"), kept.toString().getBytes(StandardCharsets.UTF_8));
    }
}
