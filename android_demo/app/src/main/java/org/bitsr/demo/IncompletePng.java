package org.bitsr.demo;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.zip.CRC32;
import java.util.zip.DataFormatException;
import java.util.zip.Deflater;
import java.util.zip.Inflater;

/** A PNG that ends too early: its rows as far as they go, and a whole file whose missing rows repeat the last. */
final class IncompletePng {
    private static final long SIGNATURE = 0x89504e470d0a1a0aL;
    private static final int SIGNATURE_BYTES = 8, CHUNK_BYTES = 12;
    /** Filter "up" with differences 0 repeats the row above. */
    private static final byte REPEATED_ROW = 2;

    final long pixels;
    /** The share of its rows' bytes that is missing. */
    final double missing;
    private final ByteArrayOutputStream others = new ByteArrayOutputStream();
    private final byte[] rows;

    static boolean is(ByteBuffer content) {
        return content.limit() > SIGNATURE_BYTES && content.getLong(0) == SIGNATURE;
    }

    static boolean ends(ByteBuffer content) {
        long at = SIGNATURE_BYTES;
        while (at + CHUNK_BYTES <= content.limit()) {
            if (content.getInt((int) at + 4) == name("IEND")) {
                return true;
            }
            at += CHUNK_BYTES + (content.getInt((int) at) & 0xffffffffL);
        }
        return false;
    }

    /** @throws IOException it is damaged in another way than by an early end, or its rows are interlaced */
    IncompletePng(byte[] content) throws IOException {
        ByteBuffer file = ByteBuffer.wrap(content);
        int header = SIGNATURE_BYTES + 8;
        if (content.length < header + 13 + 4 || file.getInt(SIGNATURE_BYTES + 4) != name("IHDR")) {
            throw new IOException("its header is incomplete");
        }
        long width = file.getInt(header) & 0xffffffffL, height = file.getInt(header + 4) & 0xffffffffL;
        int[] channels = {1, 0, 3, 1, 2, 0, 4};
        int type = content[header + 9];
        long row = type < 0 || type > 6 ? 1 : 1 + (width * channels[type] * content[header + 8] + 7) / 8;
        if (content[header + 12] != 0 || row == 1 || height == 0 || row * height > Integer.MAX_VALUE - 8) {
            throw new IOException("its rows are interlaced, or more than memory holds");
        }
        pixels = width * height;
        rows = new byte[(int) (row * height)];
        int got = read(file);
        missing = (rows.length - got) / (double) rows.length;
        int whole = (int) (got / row * row);
        Arrays.fill(rows, whole, rows.length, (byte) 0);
        for (int at = whole; at < rows.length; at += (int) row) {
            rows[at] = REPEATED_ROW;
        }
    }

    /** Takes in the chunks; returns how many bytes of the rows there are. */
    private int read(ByteBuffer file) throws IOException {
        Inflater inflater = new Inflater();
        try {
            int got = 0;
            long at = SIGNATURE_BYTES;
            while (at + 8 <= file.limit()) {
                int start = (int) at, kind = file.getInt(start + 4);
                long length = file.getInt(start) & 0xffffffffL;
                int held = (int) Math.min(length, file.limit() - start - 8L);
                boolean whole = start + CHUNK_BYTES + length <= file.limit();
                boolean damaged = whole && crc(file.array(), start + 4, held + 4) != file.getInt(start + 8 + held);
                if (kind == name("IDAT")) {
                    if (damaged) {
                        throw new IOException("its pixels are damaged");
                    }
                    inflater.setInput(file.array(), start + 8, held);
                    for (int count = 1; count > 0; got += count) {
                        count = inflater.inflate(rows, got, rows.length - got);
                    }
                } else if (whole && !damaged && kind != name("IEND")) {
                    others.write(file.array(), start, CHUNK_BYTES + held);
                }
                at += CHUNK_BYTES + length;
            }
            return got;
        } catch (DataFormatException error) {
            throw new IOException("its pixels are damaged", error);
        } finally {
            inflater.end();
        }
    }

    byte[] completed() {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        write(out, ByteBuffer.allocate(SIGNATURE_BYTES).putLong(SIGNATURE).array());
        write(out, others.toByteArray());
        Deflater deflater = new Deflater(Deflater.BEST_SPEED);
        deflater.setInput(rows);
        deflater.finish();
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        byte[] part = new byte[1 << 16];
        while (!deflater.finished()) {
            packed.write(part, 0, deflater.deflate(part));
        }
        deflater.end();
        chunk(out, "IDAT", packed.toByteArray());
        chunk(out, "IEND", new byte[0]);
        return out.toByteArray();
    }

    private static void chunk(ByteArrayOutputStream out, String name, byte[] content) {
        byte[] chunk = ByteBuffer.allocate(CHUNK_BYTES + content.length).putInt(content.length).putInt(name(name))
                .put(content).array();
        ByteBuffer.wrap(chunk).putInt(chunk.length - 4, crc(chunk, 4, content.length + 4));
        write(out, chunk);
    }

    private static void write(ByteArrayOutputStream out, byte[] content) {
        out.write(content, 0, content.length);
    }

    private static int crc(byte[] content, int start, int length) {
        CRC32 crc = new CRC32();
        crc.update(content, start, length);
        return (int) crc.getValue();
    }

    private static int name(String text) {
        return ByteBuffer.wrap(text.getBytes(StandardCharsets.US_ASCII)).getInt();
    }
}
