package org.bitsr.demo;

import android.content.Context;
import android.text.format.Formatter;

import java.util.Locale;

/** Numbers as people read them. */
final class Facts {
    private Facts() {}

    static String time(Context context, double milliseconds) {
        if (milliseconds < 1000) {
            return context.getString(R.string.milliseconds, Math.round(milliseconds));
        }
        if (milliseconds < 60_000) {
            return context.getString(R.string.seconds, milliseconds / 1000);
        }
        long seconds = Math.round(milliseconds / 1000);
        return context.getString(R.string.minutes, seconds / 60, seconds % 60);
    }

    static String bytes(Context context, long bytes) {
        return Formatter.formatShortFileSize(context, bytes);
    }

    /**
     * "ebsr_light_plus_x4" as "×4 · ebsr light plus": models are called by their ids, this is how one reads them. The
     * scale comes first, where no narrow place cuts it off.
     */
    static String model(String id) {
        return id.replaceAll("^(.*)_x(\\d+)$", "×$2 · $1").replace('_', ' ');
    }

    static String runtime(Context context, String runtime) {
        switch (runtime) {
            case Models.CORE:
                return context.getString(R.string.runtime_core);
            case "tflite":
                return context.getString(R.string.runtime_tflite);
            case "pte":
                return context.getString(R.string.runtime_pte);
            default:
                return runtime.toUpperCase(Locale.ROOT);
        }
    }
}
