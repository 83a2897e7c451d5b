package org.bitsr.demo;

import android.graphics.Bitmap;

/** A picture that was read: its pixels, upright, in sRGB. */
final class Photo {
    final Bitmap bitmap;
    /** The share of its pixels that the file lacks, 0 to 1; they are made up. */
    final double missing;

    Photo(Bitmap bitmap, double missing) {
        this.bitmap = bitmap;
        this.missing = missing;
    }
}
