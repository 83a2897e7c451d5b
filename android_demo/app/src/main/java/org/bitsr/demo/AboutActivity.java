package org.bitsr.demo;

import android.os.Bundle;
import android.widget.TextView;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;

import org.bitsr.engine.Engine;
import org.bitsr.engine.UnsupportedException;

/** What the app is, and the licences of what it is made of: every file of assets/licences. */
public final class AboutActivity extends PageActivity {
    private static final String FOLDER = "licences";

    @Override protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        String version;
        try {
            version = getString(R.string.about_version, Engine.version(), String.join(", ", Engine.instructionSets()));
        } catch (UnsupportedException error) {
            version = error.getMessage();
        }
        summary(R.drawable.ic_logo, version, getString(R.string.about_text));
        try {
            String[] names = getAssets().list(FOLDER);
            for (String name : names == null ? new String[0] : names) {
                section(name.replaceAll("\\.txt$", ""));
                TextView text = (TextView) add(R.layout.licence);
                text.setText(read(name));
            }
        } catch (IOException error) {
            section(String.valueOf(error.getMessage()));
        }
    }

    private String read(String name) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (InputStream in = getAssets().open(FOLDER + "/" + name)) {
            Photos.pour(in, out);
        }
        // Paragraphs, without the lines and margins of a typewriter: the screen has its own.
        return new String(out.toByteArray(), StandardCharsets.UTF_8).replaceAll("(?m)^[ \\t]+", "")
                .replaceAll("(?<!\n)\n(?!\n)", " ").replaceAll("\n{3,}", "\n\n").trim();
    }
}
