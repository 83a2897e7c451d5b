package org.bitsr.demo;

import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Set;

/**
 * What a result keeps of the EXIF data of its picture (docs/pictures.md): description, camera and its settings, dates,
 * author, copyright and resolution. The place, the thumbnail, the old size and notes of the maker are left out; the
 * orientation is 1, because the pixels are upright. Damaged data is left out, never the picture.
 */
final class Exif {
    private static final byte[] PREFIX = "Exif\0\0".getBytes(StandardCharsets.US_ASCII);
    private static final int ORIENTATION = 0x0112, EXIF_FOLDER = 0x8769;
    /** Description, camera, program, dates, author, copyright, resolution (across, down, unit), texts of Windows. */
    private static final Set<Integer> KEPT = Set.of(0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, 0x011A,
            0x011B, 0x0128, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F);
    /** Of the camera's settings: the size of the original, notes of the maker, and links to other parts. */
    private static final Set<Integer> DROPPED = Set.of(0xA002, 0xA003, 0x927C, 0xA005);
    /** Bytes of a value by its type, 1 to 12. */
    private static final int[] SIZES = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8};
    private static final int SHORT = 3, LONG = 4, ENTRY_BYTES = 12, HEADER_BYTES = 8;
    private static final int MOST_BYTES = 1 << 20;

    private Exif() {}

    /** EXIF data for the result of a JPEG, PNG, WebP, HEIC or AVIF; null where there is nothing to keep. */
    static byte[] kept(File picture) {
        try {
            byte[] found = find(picture);
            return found == null ? null : filter(found);
        } catch (IOException | RuntimeException damaged) {
            return null;
        }
    }

    private static byte[] find(File picture) throws IOException {
        try (DataInputStream in = new DataInputStream(new FileInputStream(picture))) {
            byte[] head = new byte[12];
            in.readFully(head);
            if ((head[0] & 0xff) == 0xff && (head[1] & 0xff) == 0xd8) {
                return inJpeg(picture);
            }
            String text = new String(head, StandardCharsets.ISO_8859_1);
            if (text.startsWith("\u0089PNG\r\n\u001a\n")) {
                return inChunks(picture, 8, "eXIf", ByteOrder.BIG_ENDIAN, 4);
            }
            if (text.startsWith("RIFF") && text.endsWith("WEBP")) {
                return inChunks(picture, 12, "EXIF", ByteOrder.LITTLE_ENDIAN, 0);
            }
            byte[] found = BoxExif.is(head) ? BoxExif.find(picture) : null;
            return found == null ? null : withoutPrefix(found);
        }
    }

    private static byte[] inJpeg(File picture) throws IOException {
        try (DataInputStream in = new DataInputStream(new FileInputStream(picture))) {
            in.readUnsignedShort();
            while (in.readUnsignedByte() == 0xff) {
                int marker = in.readUnsignedByte();
                if (marker == 0xda || marker == 0xd9) {
                    return null;
                }
                byte[] content = new byte[in.readUnsignedShort() - 2];
                in.readFully(content);
                if (marker == 0xe1 && startsWith(content, PREFIX)) {
                    return withoutPrefix(content);
                }
            }
            return null;
        }
    }

    /** PNG: length, name, content, checksum. RIFF: name, length, content, padded to an even size. */
    private static byte[] inChunks(File picture, int start, String wanted, ByteOrder order, int tail)
            throws IOException {
        try (DataInputStream in = new DataInputStream(new FileInputStream(picture))) {
            in.readFully(new byte[start]);
            byte[] head = new byte[8];
            while (true) {
                in.readFully(head);
                boolean lengthFirst = order == ByteOrder.BIG_ENDIAN;
                int length = ByteBuffer.wrap(head).order(order).getInt(lengthFirst ? 0 : 4);
                String name = new String(head, lengthFirst ? 4 : 0, 4, StandardCharsets.ISO_8859_1);
                if (name.equals(wanted) && length >= 0 && length <= MOST_BYTES) {
                    byte[] content = new byte[length];
                    in.readFully(content);
                    return withoutPrefix(content);
                }
                long skip = length + (long) tail + (lengthFirst ? 0 : length & 1);
                while (length >= 0 && skip > 0) {
                    int skipped = in.skipBytes((int) Math.min(skip, Integer.MAX_VALUE));
                    if (skipped <= 0) {
                        return null;
                    }
                    skip -= skipped;
                }
            }
        } catch (java.io.EOFException end) {
            return null;
        }
    }

    private static boolean startsWith(byte[] content, byte[] start) {
        return content.length >= start.length && Arrays.equals(Arrays.copyOf(content, start.length), start);
    }

    private static byte[] withoutPrefix(byte[] content) {
        byte[] rest = content;
        while (startsWith(rest, PREFIX)) {
            rest = Arrays.copyOfRange(rest, PREFIX.length, rest.length);
        }
        return rest;
    }

    /** One value as it stands in the file, in the file's order of bytes. */
    private static final class Entry {
        final int tag, type, count;
        final byte[] value;

        Entry(int tag, int type, int count, byte[] value) {
            this.tag = tag;
            this.type = type;
            this.count = count;
            this.value = value;
        }
    }

    static byte[] filter(byte[] tiff) {
        ByteOrder order = tiff[0] == 'I' ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN;
        ByteBuffer in = ByteBuffer.wrap(tiff).order(order);
        if (tiff[0] != tiff[1] || tiff[0] != 'I' && tiff[0] != 'M' || in.getShort(2) != 42) {
            return null;
        }
        List<Entry> main = new ArrayList<>(), settings = new ArrayList<>();
        for (Entry entry : read(in, in.getInt(4))) {
            if (KEPT.contains(entry.tag)) {
                main.add(entry);
            } else if (entry.tag == EXIF_FOLDER && entry.type == LONG) {
                for (Entry setting : read(in, ByteBuffer.wrap(entry.value).order(order).getInt())) {
                    if (!DROPPED.contains(setting.tag)) {
                        settings.add(setting);
                    }
                }
            }
        }
        if (main.isEmpty() && settings.isEmpty()) {
            return null;
        }
        main.add(new Entry(ORIENTATION, SHORT, 1, ByteBuffer.allocate(2).order(order).putShort((short) 1).array()));
        return write(order, main, settings);
    }

    private static List<Entry> read(ByteBuffer in, int offset) {
        List<Entry> entries = new ArrayList<>();
        try {
            int count = in.getShort(offset) & 0xffff;
            for (int i = 0; i < count; i++) {
                int at = offset + 2 + i * ENTRY_BYTES;
                int tag = in.getShort(at) & 0xffff, type = in.getShort(at + 2) & 0xffff, values = in.getInt(at + 4);
                if (type < 1 || type >= SIZES.length || values < 0 || (long) values * SIZES[type] > in.limit()) {
                    continue;
                }
                byte[] value = new byte[values * SIZES[type]];
                int from = value.length <= 4 ? at + 8 : in.getInt(at + 8);
                if (from < 0 || (long) from + value.length > in.limit()) {
                    continue;
                }
                System.arraycopy(in.array(), from, value, 0, value.length);
                entries.add(new Entry(tag, type, values, value));
            }
        } catch (IndexOutOfBoundsException | BufferUnderflowException damaged) {
            return entries;
        }
        return entries;
    }

    private static byte[] write(ByteOrder order, List<Entry> main, List<Entry> settings) {
        int folders = HEADER_BYTES + bytes(main.size() + (settings.isEmpty() ? 0 : 1));
        if (!settings.isEmpty()) {
            ByteBuffer link = ByteBuffer.allocate(4).order(order).putInt(folders);
            main.add(new Entry(EXIF_FOLDER, LONG, 1, link.array()));
            folders += bytes(settings.size());
        }
        ByteArrayOutputStream data = new ByteArrayOutputStream();
        ByteBuffer out = ByteBuffer.allocate(folders).order(order);
        byte mark = (byte) (order == ByteOrder.LITTLE_ENDIAN ? 'I' : 'M');
        out.put(mark).put(mark).putShort((short) 42).putInt(HEADER_BYTES);
        for (List<Entry> folder : settings.isEmpty() ? List.of(main) : List.of(main, settings)) {
            Collections.sort(folder, (a, b) -> Integer.compare(a.tag, b.tag));
            out.putShort((short) folder.size());
            for (Entry entry : folder) {
                out.putShort((short) entry.tag).putShort((short) entry.type).putInt(entry.count);
                if (entry.value.length <= 4) {
                    out.put(Arrays.copyOf(entry.value, 4));
                } else {
                    out.putInt(folders + data.size());
                    data.write(entry.value, 0, entry.value.length);
                    if (data.size() % 2 == 1) {
                        data.write(0);
                    }
                }
            }
            out.putInt(0);
        }
        byte[] whole = Arrays.copyOf(out.array(), folders + data.size());
        System.arraycopy(data.toByteArray(), 0, whole, folders, data.size());
        return whole;
    }

    private static int bytes(int entries) {
        return 2 + entries * ENTRY_BYTES + 4;
    }
}
