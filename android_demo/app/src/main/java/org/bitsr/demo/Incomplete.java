package org.bitsr.demo;

import android.graphics.Bitmap;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;

/**
 * JPEG, PNG and WebP files that end too early, by the rules of the command line (docs/pictures.md): a small loss is made
 * up for, a larger one refuses the picture. What a JPEG lacks is found by decoding it twice, with other bytes in place of
 * the lost ones: where both agree, the pixels are those of the file.
 */
final class Incomplete {
    /** Shares of the pixels that may be missing: of any picture, and of one that has hardly more than a JPEG's block. */
    private static final double MOST_MISSING = 1 / 16.0, MOST_OF_SMALL = 1 / 4.0;
    private static final int BLOCK_PIXELS = 256;
    /** A difference of two decodings that nobody sees: the last refinement of a progressive JPEG. */
    private static final int INVISIBLE = 8;
    /** Bits in which the usual codes of a JPEG are short. */
    private static final byte FILLER = (byte) 0xaa;
    private static final int START_OF_IMAGE = 0xd8, END_OF_IMAGE = 0xd9, START_OF_SCAN = 0xda, PROGRESSIVE = 0xc2;

    /** Gives the picture of a file's content; null or an exception where it is none. */
    interface Decoder {
        Bitmap decode(byte[] content) throws IOException;
    }

    /** More than a small part is missing; {@code share} of all pixels is. */
    static final class TooMuchException extends Exception {
        final double share;

        TooMuchException(double share) {
            super(share + " of the pixels are missing");
            this.share = share;
        }
    }

    private Incomplete() {}

    /** Whether a JPEG, PNG or WebP ends before it says that it does; other kinds are for their decoder to judge. */
    static boolean found(ByteBuffer content) {
        if (isJpeg(content)) {
            return !jpegEnds(content);
        }
        if (isWebp(content)) {
            return webpBytes(content) > content.limit();
        }
        return IncompletePng.is(content) && !IncompletePng.ends(content);
    }

    /** The picture of a file for which {@link #found} is true. */
    static Photo complete(byte[] content, Decoder decoder) throws IOException, TooMuchException {
        ByteBuffer buffer = ByteBuffer.wrap(content);
        if (isWebp(buffer)) {
            long length = webpBytes(buffer);
            double missing = (double) (length - content.length) / length;
            check(missing, 0);
            return new Photo(decode(decoder, Arrays.copyOf(content, (int) length)), missing);
        }
        if (IncompletePng.is(buffer)) {
            IncompletePng png = new IncompletePng(content);
            check(png.missing, png.pixels);
            return new Photo(decode(decoder, png.completed()), png.missing);
        }
        if (!allScans(content)) {
            throw new TooMuchException(1);
        }
        Bitmap grey = decode(decoder, filled(content, false)), other = decode(decoder, filled(content, true));
        if (grey.getWidth() != other.getWidth() || grey.getHeight() != other.getHeight()) {
            throw new TooMuchException(1);
        }
        double missing = differing(grey, other);
        check(missing, (long) grey.getWidth() * grey.getHeight());
        return new Photo(grey, missing);
    }

    private static void check(double missing, long pixels) throws TooMuchException {
        double block = pixels == 0 ? 0 : Math.min((double) BLOCK_PIXELS / pixels, MOST_OF_SMALL);
        if (missing > Math.max(MOST_MISSING, block)) {
            throw new TooMuchException(missing);
        }
    }

    private static Bitmap decode(Decoder decoder, byte[] content) throws IOException {
        Bitmap bitmap = decoder.decode(content);
        if (bitmap == null) {
            throw new IOException("what is there of the picture can not be decoded");
        }
        return bitmap;
    }

    private static boolean isJpeg(ByteBuffer content) {
        return content.limit() > 2 && unsigned(content, 0) == 0xff && unsigned(content, 1) == START_OF_IMAGE;
    }

    private static boolean isWebp(ByteBuffer content) {
        return content.limit() > 12 && content.getInt(0) == 0x52494646 && content.getInt(8) == 0x57454250;
    }

    private static long webpBytes(ByteBuffer content) {
        return (content.duplicate().order(ByteOrder.LITTLE_ENDIAN).getInt(4) & 0xffffffffL) + 8;
    }

    private static int unsigned(ByteBuffer content, int at) {
        return content.get(at) & 0xff;
    }

    private static boolean isRestart(int marker) {
        return marker >= 0xd0 && marker <= 0xd7;
    }

    /** Whether the marker of the end comes behind the scans; a thumbnail's lies within a segment. */
    private static boolean jpegEnds(ByteBuffer content) {
        int end = content.limit() - 1;
        for (int at = 2; at < end; at++) {
            if (unsigned(content, at) != 0xff) {
                continue;
            }
            int marker = unsigned(content, at + 1);
            if (marker == END_OF_IMAGE) {
                return true;
            }
            boolean alone = marker <= 0x01 || marker == 0xff || isRestart(marker);
            if (!alone && at + 3 <= end) {
                at += 1 + (content.getShort(at + 2) & 0xffff);
            }
        }
        return false;
    }

    /** Whether the scans of a progressive JPEG bring every coefficient to its last bit (ITU-T T.81, B.2.3). */
    private static boolean allScans(byte[] content) {
        boolean progressive = false;
        Set<Integer> missing = new HashSet<>();
        for (int at = 2; at + 4 <= content.length; at++) {
            int marker = content[at + 1] & 0xff;
            if (content[at] != -1 || marker <= 0x01 || marker == 0xff || marker >= 0xd0 && marker <= END_OF_IMAGE) {
                continue;
            }
            int length = (content[at + 2] & 0xff) << 8 | content[at + 3] & 0xff;
            byte[] segment = Arrays.copyOfRange(content, at + 4, Math.max(at + 4, Math.min(at + 2 + length, content.length)));
            if (marker == PROGRESSIVE && segment.length > 5) {
                progressive = true;
                for (int i = 6; i < segment.length; i += 3) {
                    for (int k = 0; k < 64; k++) {
                        missing.add((segment[i] & 0xff) << 6 | k);
                    }
                }
            } else if (marker == START_OF_SCAN && segment.length > 3) {
                int count = segment[0];
                int spectrum = 1 + 2 * count;
                if (spectrum + 2 < segment.length && (segment[spectrum + 2] & 15) == 0) {
                    for (int i = 0; i < count; i++) {
                        for (int k = segment[spectrum]; k <= segment[spectrum + 1]; k++) {
                            missing.remove((segment[1 + 2 * i] & 0xff) << 6 | k);
                        }
                    }
                }
            }
            at += 1 + length;
        }
        return !progressive || missing.isEmpty();
    }

    /**
     * The content with an end: behind nothing at all, for which decoders put grey, or behind more bits than may be
     * missing. These have restart markers where the file has some: a decoder skips what comes before the one it waits for.
     */
    private static byte[] filled(byte[] content, boolean bits) {
        int length = content.length;
        while (content[length - 1] == -1) {
            length--; // Of a marker that was cut in two.
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.write(content, 0, length);
        if (bits) {
            int restarts = 0, last = 0;
            for (int at = 0; at + 1 < length; at++) {
                if (content[at] == -1 && isRestart(content[at + 1] & 0xff)) {
                    restarts++;
                    last = content[at + 1] & 0xff;
                }
            }
            byte[] filler = new byte[2 * length + (1 << 16)];
            Arrays.fill(filler, FILLER);
            int intervals = restarts == 0 ? 0 : 2 * restarts + 8;
            for (int i = 0; i < intervals; i++) {
                out.write(filler, 0, filler.length / intervals);
                out.write(0xff);
                out.write(0xd0 | last + 1 + i & 7);
            }
            if (intervals == 0) {
                out.write(filler, 0, filler.length);
            }
        }
        out.write(0xff);
        out.write(END_OF_IMAGE);
        return out.toByteArray();
    }

    /** The share of pixels that differ visibly. */
    private static double differing(Bitmap first, Bitmap second) {
        int width = first.getWidth(), height = first.getHeight();
        int[] a = new int[width], b = new int[width];
        long differing = 0;
        for (int y = 0; y < height; y++) {
            first.getPixels(a, 0, width, 0, y, width, 1);
            second.getPixels(b, 0, width, 0, y, width, 1);
            for (int x = 0; x < width; x++) {
                boolean visible = false;
                for (int shift = 0; shift < 32; shift += 8) {
                    visible |= Math.abs((a[x] >>> shift & 0xff) - (b[x] >>> shift & 0xff)) > INVISIBLE;
                }
                differing += visible ? 1 : 0;
            }
        }
        return differing / ((double) width * height);
    }
}
