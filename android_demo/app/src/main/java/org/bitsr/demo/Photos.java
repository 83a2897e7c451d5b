package org.bitsr.demo;

import android.app.ActivityManager;
import android.content.ContentResolver;
import android.content.Context;
import android.database.Cursor;
import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.graphics.ColorSpace;
import android.graphics.ImageDecoder;
import android.graphics.Matrix;
import android.media.ExifInterface;
import android.net.Uri;
import android.os.Build;
import android.provider.OpenableColumns;

import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;

/** Reads pictures of others: first a copy of the file, so that nothing depends on a permission that ends. */
final class Photos {
    /** Of the memory for Java objects that a picture's pixels may take: the rest is for everything else. */
    private static final double SHARE_OF_HEAP = 0.6;
    private static final int BYTES_OF_PIXEL = 4, HEAD_BYTES = 32;

    private Photos() {}

    /** The name that the picture has where it comes from; "picture" where it has none. */
    static String name(Context context, Uri uri) {
        try (Cursor cursor = context.getContentResolver().query(uri, new String[] {OpenableColumns.DISPLAY_NAME}, null,
                null, null)) {
            if (cursor != null && cursor.moveToFirst() && cursor.getString(0) != null) {
                return cursor.getString(0);
            }
        } catch (RuntimeException ignored) {
            // A provider that can not answer gives a picture without a name.
        }
        String last = uri.getLastPathSegment();
        return last == null || last.isEmpty() ? "picture" : last.substring(last.lastIndexOf('/') + 1);
    }

    /** Copies what the address leads to; the original is opened for reading alone. */
    static void copy(Context context, Uri uri, File target) throws Failure {
        ContentResolver resolver = context.getContentResolver();
        try (InputStream in = resolver.openInputStream(uri); OutputStream out = new FileOutputStream(target)) {
            if (in == null) {
                throw new FileNotFoundException(uri.toString());
            }
            pour(in, out);
        } catch (SecurityException error) {
            throw new Failure(context.getString(R.string.fail_permission), context.getString(R.string.fail_permission_hint),
                    error);
        } catch (IOException | RuntimeException error) {
            if (Failures.noSpace(error)) {
                throw Failures.ofSaving(context, error, target.length());
            }
            throw new Failure(context.getString(R.string.fail_gone), context.getString(R.string.fail_gone_hint), error);
        }
    }

    static void pour(InputStream in, OutputStream out) throws IOException {
        byte[] part = new byte[1 << 16];
        for (int count = in.read(part); count >= 0; count = in.read(part)) {
            out.write(part, 0, count);
        }
    }

    /** The picture of a file; one that ends too early is completed, or refused where too much of it is missing. */
    static Photo decode(Context context, File file) throws Failure {
        BitmapFactory.Options bounds = new BitmapFactory.Options();
        bounds.inJustDecodeBounds = true;
        BitmapFactory.decodeFile(file.getPath(), bounds);
        if (bounds.outWidth > 0 && bounds.outHeight > 0) {
            checkSize(context, (long) bounds.outWidth * bounds.outHeight);
        }
        try (FileInputStream in = new FileInputStream(file); FileChannel channel = in.getChannel()) {
            ByteBuffer content = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size());
            if (Incomplete.found(content)) {
                return Incomplete.complete(bytes(content), part -> decode(ByteBuffer.wrap(part)));
            }
            Bitmap bitmap = decode(content);
            if (bitmap != null) {
                return new Photo(bitmap, 0);
            }
        } catch (OutOfMemoryError error) {
            throw Failures.of(context, error);
        } catch (Incomplete.TooMuchException error) {
            throw new Failure(context.getString(R.string.fail_incomplete),
                    context.getString(R.string.fail_incomplete_hint, Math.round(100 * error.share)), error);
        } catch (IOException | RuntimeException error) {
            throw undecodable(context, file, error);
        }
        throw undecodable(context, file, null);
    }

    private static byte[] bytes(ByteBuffer content) {
        byte[] bytes = new byte[content.remaining()];
        content.duplicate().get(bytes);
        return bytes;
    }

    private static Bitmap decode(ByteBuffer content) throws IOException {
        return Build.VERSION.SDK_INT >= Build.VERSION_CODES.P ? Newer.decode(content) : decodeOld(bytes(content));
    }

    private static Failure undecodable(Context context, File file, Throwable cause) {
        if (isHeic(file)) {
            return new Failure(context.getString(R.string.fail_heic), context.getString(R.string.fail_heic_hint), cause);
        }
        return new Failure(context.getString(R.string.fail_decode), context.getString(R.string.fail_decode_hint), cause);
    }

    /** Whether a file calls itself HEIC, as the photos of many phones are; AVIF has the same boxes. */
    private static boolean isHeic(File file) {
        byte[] head = new byte[HEAD_BYTES];
        try (FileInputStream in = new FileInputStream(file)) {
            if (in.read(head) < 12 || !BoxExif.is(head)) {
                return false;
            }
        } catch (IOException error) {
            return false;
        }
        String brands = new String(head, StandardCharsets.ISO_8859_1).substring(8);
        return brands.matches("(?s)(heic|heix|hevc|hevx|heim|heis|mif1|msf1).*") && !brands.contains("avif");
    }

    /** The engine takes the pixels as one array, so the memory for Java objects bounds them. */
    private static void checkSize(Context context, long pixels) throws Failure {
        double most = mostPixels(context);
        if (pixels > most) {
            throw new Failure(context.getString(R.string.fail_large),
                    context.getString(R.string.fail_large_hint, pixels / 1e6, Math.floor(most / 1e6)), null);
        }
    }

    static double mostPixels(Context context) {
        ActivityManager manager = context.getSystemService(ActivityManager.class);
        ActivityManager.MemoryInfo memory = new ActivityManager.MemoryInfo();
        manager.getMemoryInfo(memory);
        double heap = SHARE_OF_HEAP * Runtime.getRuntime().maxMemory() / BYTES_OF_PIXEL;
        // Beside that array lie the bitmap and the engine's copy.
        double free = memory.availMem > 0 ? memory.availMem / (3.0 * BYTES_OF_PIXEL) : heap;
        return Math.min(heap, free);
    }

    /** Android 8: its decoder leaves the orientation to the app. */
    private static Bitmap decodeOld(byte[] content) throws IOException {
        BitmapFactory.Options options = new BitmapFactory.Options();
        options.inPreferredConfig = Bitmap.Config.ARGB_8888;
        options.inPreferredColorSpace = ColorSpace.get(ColorSpace.Named.SRGB);
        Bitmap bitmap = BitmapFactory.decodeByteArray(content, 0, content.length, options);
        if (bitmap == null) {
            return null;
        }
        Matrix turn = new Matrix();
        switch (new ExifInterface(new ByteArrayInputStream(content)).getAttributeInt(ExifInterface.TAG_ORIENTATION, 1)) {
            case ExifInterface.ORIENTATION_FLIP_HORIZONTAL:
                turn.setScale(-1, 1);
                break;
            case ExifInterface.ORIENTATION_ROTATE_180:
                turn.setRotate(180);
                break;
            case ExifInterface.ORIENTATION_FLIP_VERTICAL:
                turn.setScale(1, -1);
                break;
            case ExifInterface.ORIENTATION_TRANSPOSE:
                turn.setRotate(90);
                turn.postScale(-1, 1);
                break;
            case ExifInterface.ORIENTATION_ROTATE_90:
                turn.setRotate(90);
                break;
            case ExifInterface.ORIENTATION_TRANSVERSE:
                turn.setRotate(-90);
                turn.postScale(-1, 1);
                break;
            case ExifInterface.ORIENTATION_ROTATE_270:
                turn.setRotate(-90);
                break;
            default:
                return bitmap;
        }
        return Bitmap.createBitmap(bitmap, 0, 0, bitmap.getWidth(), bitmap.getHeight(), turn, false);
    }

    @NewerApi
    private static final class Newer {
        static Bitmap decode(ByteBuffer content) throws IOException {
            return ImageDecoder.decodeBitmap(ImageDecoder.createSource(content), (decoder, info, source) -> {
                decoder.setAllocator(ImageDecoder.ALLOCATOR_SOFTWARE);
                decoder.setTargetColorSpace(ColorSpace.get(ColorSpace.Named.SRGB));
            });
        }
    }
}
