package org.bitsr.engine;

import java.io.Closeable;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.zip.CRC32;
import java.util.zip.Deflater;

/**
 * Writes an enlargement as PNG while it is made: 8-bit RGB or RGBA in sRGB, in the memory of two rows.
 * The file is whole after {@link #finish}.
 */
public final class PngWriter implements Rows, Closeable {
    private static final byte[] SIGNATURE = {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    /** The filter of each row: the difference to the row above. */
    private static final byte UP = 2;

    private final DataOutputStream out;
    private final Deflater deflater = new Deflater(4);
    private final int width, height, channels;
    private final byte[] compressed = new byte[1 << 16];
    private byte[] above, row;
    private final byte[] filtered;
    private int next;

    /**
     * @param out is closed with the writer
     * @param alpha whether transparency is kept
     * @param exif null, or EXIF data: a TIFF structure
     */
    public PngWriter(OutputStream out, int width, int height, boolean alpha, byte[] exif) throws IOException {
        this.out = new DataOutputStream(out);
        this.width = width;
        this.height = height;
        channels = alpha ? 4 : 3;
        above = new byte[width * channels];
        row = new byte[width * channels];
        filtered = new byte[width * channels + 1];
        this.out.write(SIGNATURE);
        chunk("IHDR", header(), 13);
        chunk("sRGB", new byte[] {0}, 1);
        if (exif != null) {
            chunk("eXIf", exif, exif.length);
        }
    }

    private byte[] header() {
        return new byte[] {(byte) (width >> 24), (byte) (width >> 16), (byte) (width >> 8), (byte) width,
                (byte) (height >> 24), (byte) (height >> 16), (byte) (height >> 8), (byte) height,
                8, (byte) (channels == 4 ? 6 : 2), 0, 0, 0};
    }

    private void chunk(String type, byte[] data, int length) throws IOException {
        byte[] name = type.getBytes(StandardCharsets.US_ASCII);
        CRC32 crc = new CRC32();
        crc.update(name);
        crc.update(data, 0, length);
        out.writeInt(length);
        out.write(name);
        out.write(data, 0, length);
        out.writeInt((int) crc.getValue());
    }

    @Override public void accept(int top, int count, int[] argb) throws IOException {
        if (top != next || argb.length < (long) count * width || count > height - next) {
            throw new IllegalArgumentException("rows " + top + " to " + (top + count) + " come where row " + next
                    + " of " + height + " is next");
        }
        for (int y = 0; y < count; y++) {
            int at = 0;
            for (int x = 0; x < width; x++) {
                int pixel = argb[y * width + x];
                row[at++] = (byte) (pixel >> 16);
                row[at++] = (byte) (pixel >> 8);
                row[at++] = (byte) pixel;
                if (channels == 4) {
                    row[at++] = (byte) (pixel >>> 24);
                }
            }
            filtered[0] = UP;
            for (int i = 0; i < row.length; i++) {
                filtered[i + 1] = (byte) (row[i] - above[i]);
            }
            deflater.setInput(filtered);
            drain();
            byte[] done = above;
            above = row;
            row = done;
        }
        next += count;
    }

    private void drain() throws IOException {
        for (int count = deflater.deflate(compressed); count > 0; count = deflater.deflate(compressed)) {
            chunk("IDAT", compressed, count);
        }
    }

    /** Ends the file after its last row. */
    public void finish() throws IOException {
        if (next != height) {
            throw new IOException("the picture has " + next + " of " + height + " rows; it is not whole");
        }
        deflater.finish();
        drain();
        chunk("IEND", new byte[0], 0);
        out.flush();
    }

    @Override public void close() throws IOException {
        deflater.end();
        out.close();
    }
}
