package org.bitsr.demo;

import android.Manifest;
import android.app.Activity;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.graphics.Bitmap;
import android.net.Uri;
import android.os.Bundle;
import android.os.SystemClock;
import android.provider.Settings;
import android.view.View;
import android.view.WindowManager;
import android.widget.Button;
import android.widget.ImageView;
import android.widget.TextView;

import java.util.function.Function;

/** The middle of what the camera sees, before and after, as fast as the model is. */
public final class LiveActivity extends Activity implements Live.Listener {
    static final int PERMISSION = 1;
    private static final int DEGREES_OF_TURN = 90;
    /** Numbers that change with each frame can not be read. */
    private static final long MILLISECONDS_OF_TEXT = 500;

    /** Tests give frames of their own. */
    static Function<LiveActivity, FrameSource> frames = activity -> new CameraFrames(activity,
            () -> activity.getWindowManager().getDefaultDisplay().getRotation() * DEGREES_OF_TURN);

    private Models models;
    private Choosers choosers;
    private CompareView compare;
    private View empty;
    private TextView emptyTitle, emptyText, headline, details;
    private Button emptyButton;
    private Live live;
    private boolean asked;
    private Bitmap before, after;
    private Live.Shown shown;
    private long written;

    @Override protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        setContentView(R.layout.live);
        getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
        ((TextView) findViewById(R.id.title)).setText(getTitle());
        findViewById(R.id.back).setOnClickListener(view -> finish());
        compare = findViewById(R.id.compare);
        empty = findViewById(R.id.empty);
        emptyTitle = findViewById(R.id.empty_title);
        emptyText = findViewById(R.id.empty_text);
        emptyButton = findViewById(R.id.empty_button);
        headline = findViewById(R.id.headline);
        details = findViewById(R.id.details);
        models = new Models(new Content(this));
        choosers = new Choosers(this, models, models.smallest(), () -> {
            if (live != null) {
                live.choose(choosers.choice());
            }
        });
        Edges.applyToStage(this);
        asked = saved != null && saved.getBoolean(Manifest.permission.CAMERA);
        say(R.string.live_starting, R.string.live_starting_hint);
    }

    @Override protected void onStart() {
        super.onStart();
        if (granted()) {
            begin();
        } else if (asked) {
            refused();
        } else {
            ask();
        }
    }

    private boolean granted() {
        return checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED;
    }

    private void ask() {
        asked = true;
        requestPermissions(new String[] {Manifest.permission.CAMERA}, PERMISSION);
    }

    @Override public void onRequestPermissionsResult(int request, String[] permissions, int[] grants) {
        if (granted()) {
            begin();
        } else {
            refused();
        }
    }

    /** Android asks no more where it was refused for good: then the settings are the way. */
    private void refused() {
        boolean settings = !shouldShowRequestPermissionRationale(Manifest.permission.CAMERA);
        explain(getString(R.string.fail_camera_permission), getString(R.string.live_permission_hint));
        button(settings ? R.string.open_settings : R.string.allow, () -> {
            if (settings) {
                startActivity(new Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS,
                        Uri.fromParts("package", getPackageName(), null)));
            } else {
                ask();
            }
        });
    }

    private void begin() {
        if (live != null) {
            return;
        }
        if (models.names().isEmpty()) {
            explain(getString(R.string.fail_no_models), getString(R.string.fail_no_models_hint));
            return;
        }
        shown = null;
        compare.show(null, null, 1);
        say(R.string.live_starting, R.string.live_starting_hint);
        live = new Live(this, models, frames.apply(this), choosers.choice(), this);
    }

    @Override public void show(Live.Shown next) {
        boolean first = shown == null;
        shown = next;
        before = put(before, next.frame.argb, next.frame.width, next.frame.height);
        after = put(after, next.enlarged, next.frame.width * next.scale, next.frame.height * next.scale);
        compare.show(before, after, next.scale);
        empty.setVisibility(View.GONE);
        long now = SystemClock.elapsedRealtime();
        if (!first && now - written < MILLISECONDS_OF_TEXT) {
            return;
        }
        written = now;
        headline.setText(next.rate == 0 ? getString(R.string.live_first) : getString(R.string.live_rate, next.rate));
        details.setText(getString(R.string.live_facts, before.getWidth(), before.getHeight(), after.getWidth(),
                after.getHeight(), Facts.time(this, next.milliseconds), next.dropped, next.frames));
        details.setVisibility(View.VISIBLE);
    }

    /** The bitmap with these pixels: the same one where its size is the same. */
    private static Bitmap put(Bitmap old, int[] argb, int width, int height) {
        Bitmap bitmap = old != null && old.getWidth() == width && old.getHeight() == height ? old
                : Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888);
        bitmap.setPixels(argb, 0, width, 0, 0, width, height);
        return bitmap;
    }

    @Override public void failed(Failure failure) {
        end();
        explain(failure.title, failure.hint);
        button(R.string.retry, this::begin);
    }

    private void explain(String title, String hint) {
        compare.show(null, null, 1);
        say(0, 0);
        empty.setVisibility(View.VISIBLE);
        ((ImageView) findViewById(R.id.empty_icon)).setImageResource(R.drawable.ic_fail);
        emptyTitle.setText(title);
        emptyText.setText(hint);
        emptyButton.setVisibility(View.GONE);
    }

    private void button(int text, Runnable action) {
        emptyButton.setVisibility(View.VISIBLE);
        emptyButton.setText(text);
        emptyButton.setOnClickListener(view -> action.run());
    }

    /** What stands above the choosers where there are no numbers; 0 is nothing. */
    private void say(int title, int hint) {
        empty.setVisibility(View.GONE);
        headline.setText(title == 0 ? "" : getString(title));
        headline.setVisibility(title == 0 ? View.GONE : View.VISIBLE);
        details.setText(hint == 0 ? "" : getString(hint));
        details.setVisibility(hint == 0 ? View.GONE : View.VISIBLE);
    }

    private void end() {
        if (live != null) {
            live.stop();
            live = null;
        }
    }

    @Override protected void onStop() {
        end();
        super.onStop();
    }

    @Override protected void onSaveInstanceState(Bundle state) {
        super.onSaveInstanceState(state);
        state.putBoolean(Manifest.permission.CAMERA, asked);
    }

    /** The last frame that is shown; null before the first one. */
    Live.Shown shown() {
        return shown;
    }
}
