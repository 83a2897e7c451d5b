package org.bitsr.demo;

import java.io.EOFException;
import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** EXIF data in the boxes of HEIC and AVIF files (ISO/IEC 14496-12, 8.11): the item of type "Exif", and where it lies. */
final class BoxExif {
    private static final int MOST_BYTES = 1 << 20, HEADER_BYTES = 8, FULL_BYTES = 4;
    private static final int IN_FILE = 0, IN_DATA = 1;

    private BoxExif() {}

    /** Whether a file that begins so is of boxes. */
    static boolean is(byte[] head) {
        return new String(head, 4, 4, StandardCharsets.ISO_8859_1).equals("ftyp");
    }

    /** The data behind its offset, as it stands in the file; null where there is none. */
    static byte[] find(File picture) throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(picture, "r")) {
            for (long at = 0; at + HEADER_BYTES <= file.length();) {
                file.seek(at);
                long length = file.readInt() & 0xffffffffL;
                int kind = file.readInt(), header = HEADER_BYTES;
                if (length == 1) {
                    length = file.readLong();
                    header += 8;
                }
                if (length < header) {
                    return null;
                }
                if (kind == name("meta")) {
                    byte[] meta = new byte[length > MOST_BYTES ? 0 : (int) length - header];
                    file.readFully(meta);
                    return content(file, meta);
                }
                at += length;
            }
            return null;
        } catch (EOFException end) {
            return null;
        }
    }

    private static byte[] content(RandomAccessFile file, byte[] meta) throws IOException {
        ByteBuffer infos = box(meta, "iinf"), places = box(meta, "iloc");
        if (infos == null || places == null) {
            return null;
        }
        long item = item(infos);
        long[] place = item < 0 ? null : place(places, item);
        if (place == null || place[2] < 4 || place[2] > MOST_BYTES) {
            return null;
        }
        byte[] content = new byte[(int) place[2]];
        if (place[0] == IN_FILE) {
            file.seek(place[1]);
            file.readFully(content);
        } else {
            ByteBuffer data = box(meta, "idat");
            if (place[0] != IN_DATA || data == null) {
                return null;
            }
            // As Buffer: Android 8 has the method there alone.
            ((Buffer) data).position(data.position() + (int) place[1]);
            data.get(content);
        }
        int start = 4 + ByteBuffer.wrap(content).getInt();
        return start < 4 || start > content.length ? null : Arrays.copyOfRange(content, start, content.length);
    }

    /** The content of a box in "meta"; null where there is none. */
    private static ByteBuffer box(byte[] meta, String wanted) {
        ByteBuffer in = ByteBuffer.wrap(meta);
        for (int at = FULL_BYTES; at + HEADER_BYTES <= meta.length;) {
            int length = in.getInt(at);
            if (length < HEADER_BYTES || length > meta.length - at) {
                return null;
            }
            if (in.getInt(at + 4) == name(wanted)) {
                return ByteBuffer.wrap(meta, at + HEADER_BYTES, length - HEADER_BYTES);
            }
            at += length;
        }
        return null;
    }

    /** Number of the item of type "Exif"; -1 where there is none. */
    private static long item(ByteBuffer infos) {
        long entries = number(infos, infos.getInt() >>> 24 == 0 ? 2 : 4);
        for (long i = 0; i < entries; i++) {
            int start = infos.position(), length = infos.getInt();
            infos.getInt(); // "infe"
            int version = infos.getInt() >>> 24;
            if (version >= 2) {
                long id = number(infos, version == 2 ? 2 : 4);
                infos.getShort();
                if (infos.getInt() == name("Exif")) {
                    return id;
                }
            }
            ((Buffer) infos).position(start + length);
        }
        return -1;
    }

    /** Where an item lies: in the file or in "idat", from which byte, how many; null where it has not one part. */
    private static long[] place(ByteBuffer places, long item) {
        int version = places.getInt() >>> 24, sizes = places.getShort() & 0xffff;
        int offsetBytes = sizes >> 12, lengthBytes = sizes >> 8 & 15, baseBytes = sizes >> 4 & 15;
        int indexBytes = version == 0 ? 0 : sizes & 15;
        long items = number(places, version < 2 ? 2 : 4);
        for (long i = 0; i < items; i++) {
            long id = number(places, version < 2 ? 2 : 4);
            int where = version == 0 ? IN_FILE : places.getShort() & 15;
            places.getShort();
            long base = number(places, baseBytes), offset = 0, length = 0;
            int parts = places.getShort() & 0xffff;
            for (int part = 0; part < parts; part++) {
                number(places, indexBytes);
                offset = number(places, offsetBytes);
                length = number(places, lengthBytes);
            }
            if (id == item) {
                return parts == 1 ? new long[] {where, base + offset, length} : null;
            }
        }
        return null;
    }

    private static long number(ByteBuffer in, int bytes) {
        long value = 0;
        for (int i = 0; i < bytes; i++) {
            value = value << 8 | in.get() & 0xff;
        }
        return value;
    }

    private static int name(String text) {
        return ByteBuffer.wrap(text.getBytes(StandardCharsets.US_ASCII)).getInt();
    }
}
