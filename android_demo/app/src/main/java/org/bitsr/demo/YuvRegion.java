package org.bitsr.demo;

import java.nio.ByteBuffer;

/** The middle of a camera's frame: YUV 4:2:0 of the full range (JFIF) as upright pixels. */
final class YuvRegion {
    /** A plane of brightness or colour: bytes from a row to the next, and from a value to the next. */
    static final class Plane {
        final ByteBuffer data;
        final int rowStride, pixelStride;

        Plane(ByteBuffer data, int rowStride, int pixelStride) {
            this.data = data;
            this.rowStride = rowStride;
            this.pixelStride = pixelStride;
        }

        int at(int x, int y) {
            return data.get(y * rowStride + x * pixelStride) & 0xff;
        }
    }

    private YuvRegion() {}

    /**
     * @param width of the frame as the sensor gives it, as all sizes here
     * @param turn degrees clockwise, a multiple of 90, that make it upright
     */
    static FrameSource.Frame of(Plane y, Plane u, Plane v, int width, int height, int regionWidth, int regionHeight,
            int turn) {
        int left = (width - regionWidth) / 2, top = (height - regionHeight) / 2;
        boolean lies = turn % 180 != 0;
        int outWidth = lies ? regionHeight : regionWidth, outHeight = lies ? regionWidth : regionHeight;
        int[] argb = new int[outWidth * outHeight];
        for (int row = 0; row < regionHeight; row++) {
            for (int column = 0; column < regionWidth; column++) {
                int x = left + column, at = top + row;
                int pixel = argb(y.at(x, at), u.at(x / 2, at / 2), v.at(x / 2, at / 2));
                argb[place(row, column, regionWidth, regionHeight, turn)] = pixel;
            }
        }
        return new FrameSource.Frame(argb, outWidth, outHeight);
    }

    /** Where a pixel of the region lies in the turned one. */
    private static int place(int row, int column, int width, int height, int turn) {
        switch (turn) {
            case 90:
                return column * height + height - 1 - row;
            case 180:
                return (height - 1 - row) * width + width - 1 - column;
            case 270:
                return (width - 1 - column) * height + row;
            default:
                return row * width + column;
        }
    }

    /** BT.601, in 1/65536. */
    private static int argb(int y, int u, int v) {
        int luma = (y << 16) + (1 << 15), blueness = u - 128, redness = v - 128;
        return 0xff000000 | level(luma + 91881 * redness) << 16
                | level(luma - 22554 * blueness - 46802 * redness) << 8 | level(luma + 116130 * blueness);
    }

    private static int level(int value) {
        return Math.max(0, Math.min(255, value >> 16));
    }
}
