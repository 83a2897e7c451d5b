package org.bitsr.engine;

import java.nio.charset.StandardCharsets;

/** Text as the native side takes it. */
final class Text {
    private Text() {}

    static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }

    static String of(byte[] bytes) {
        return bytes == null ? "" : new String(bytes, StandardCharsets.UTF_8);
    }
}
