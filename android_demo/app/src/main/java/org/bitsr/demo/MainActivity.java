package org.bitsr.demo;

import android.Manifest;
import android.app.Activity;
import android.content.ActivityNotFoundException;
import android.content.Context;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.net.Uri;
import android.os.Bundle;
import android.os.Handler;
import android.os.Looper;
import android.provider.MediaStore;
import android.view.View;
import android.widget.Button;
import android.widget.ImageView;
import android.widget.PopupMenu;
import android.widget.ProgressBar;
import android.widget.TextView;
import android.widget.Toast;

import java.io.File;
import java.util.List;
import java.util.UUID;

/** The one screen: a picture, before and after, and what to do with it. */
public final class MainActivity extends Activity implements Workbench.Listener {
    static final int PICK = 1, TAKE = 2, PERMISSION = 3, CAMERA_PERMISSION = 4;
    private static final String BENCH = "bench", SOURCE = "source", SHARED_TAKEN = "shared_taken";

    private Workbench bench;
    private CompareView compare;
    private View empty, progressRow;
    private ImageView emptyIcon;
    private TextView emptyTitle, emptyText, headline, details;
    private Button emptyButton;
    private ProgressBar progress;
    private Choosers choosers;
    private boolean sharedTaken;
    /** Of saving and asking other apps: the picture and its result stay as they are. */
    private Failure beside;
    private String note = "";

    @Override protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        setContentView(R.layout.main);
        find();
        Object kept = getLastNonConfigurationInstance();
        bench = kept instanceof Workbench ? (Workbench) kept : new Workbench(this, saved != null && saved.getString(BENCH) != null
                ? saved.getString(BENCH) : UUID.randomUUID().toString());
        bench.setListener(this);
        List<String> names = bench.models.names();
        choosers = new Choosers(this, bench.models, names.isEmpty() ? "" : names.get(names.size() - 1), this::chosen);
        Edges.applyToStage(this);
        sharedTaken = saved != null && saved.getBoolean(SHARED_TAKEN);
        if (kept == null && saved != null && saved.getString(SOURCE) != null && bench.copy().exists()) {
            bench.reopen(saved.getString(SOURCE), choosers.choice());
        } else if (kept == null || !sharedTaken) {
            takeShared(getIntent());
        }
        if (kept == null) {
            Context context = getApplicationContext();
            bench.later(() -> Gallery.clean(context));
        }
        changed();
    }

    private void find() {
        compare = findViewById(R.id.compare);
        empty = findViewById(R.id.empty);
        emptyIcon = findViewById(R.id.empty_icon);
        emptyTitle = findViewById(R.id.empty_title);
        emptyText = findViewById(R.id.empty_text);
        emptyButton = findViewById(R.id.empty_button);
        headline = findViewById(R.id.headline);
        details = findViewById(R.id.details);
        progressRow = findViewById(R.id.progress_row);
        progress = findViewById(R.id.progress);
        findViewById(R.id.pick).setOnClickListener(view -> pick());
        findViewById(R.id.camera).setOnClickListener(view -> take());
        findViewById(R.id.save).setOnClickListener(view -> save());
        findViewById(R.id.share).setOnClickListener(view -> share());
        findViewById(R.id.cancel).setOnClickListener(view -> {
            note = getString(R.string.cancelled);
            bench.cancel();
        });
        findViewById(R.id.more).setOnClickListener(this::showMenu);
    }

    private void showMenu(View anchor) {
        PopupMenu menu = new PopupMenu(this, anchor);
        menu.getMenu().add(R.string.live_title).setOnMenuItemClickListener(item -> {
            startActivity(new Intent(this, LiveActivity.class));
            return true;
        });
        menu.getMenu().add(R.string.parity_title).setOnMenuItemClickListener(item -> {
            startActivity(new Intent(this, ParityActivity.class));
            return true;
        });
        menu.getMenu().add(R.string.about_title).setOnMenuItemClickListener(item -> {
            startActivity(new Intent(this, AboutActivity.class));
            return true;
        });
        menu.show();
    }

    // ---- What is asked for

    /** A chooser was used, or only laid out: the picture is computed again where the choice is another one. */
    private void chosen() {
        Choice choice = choosers.choice();
        if (bench.source != null && !choice.equals(bench.asked())) {
            note = "";
            beside = null;
            bench.enlarge(choice);
        }
    }

    // ---- Where pictures come from

    private void pick() {
        Intent intent = new Intent(Intent.ACTION_GET_CONTENT).setType("image/*").addCategory(Intent.CATEGORY_OPENABLE);
        ask(intent, PICK, R.string.fail_no_gallery, R.string.fail_no_gallery_hint);
    }

    /** An app that asks for the camera itself, as the live screen does, may start the camera app only with it. */
    private void take() {
        if (checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
            requestPermissions(new String[] {Manifest.permission.CAMERA}, CAMERA_PERMISSION);
            return;
        }
        Uri photo = FilesProvider.uri(bench.photo());
        bench.photo().delete();
        Intent intent = new Intent(MediaStore.ACTION_IMAGE_CAPTURE)
                .putExtra(MediaStore.EXTRA_OUTPUT, photo)
                .addFlags(Intent.FLAG_GRANT_WRITE_URI_PERMISSION | Intent.FLAG_GRANT_READ_URI_PERMISSION);
        intent.setClipData(android.content.ClipData.newRawUri("", photo));
        ask(intent, TAKE, R.string.fail_no_camera, R.string.fail_no_camera_hint);
    }

    private void ask(Intent intent, int request, int missing, int hint) {
        try {
            startActivityForResult(intent, request);
        } catch (ActivityNotFoundException error) {
            tell(new Failure(getString(missing), getString(hint), error));
        }
    }

    @Override protected void onActivityResult(int request, int result, Intent data) {
        if (result != RESULT_OK) {
            return;
        }
        if (request == PICK && data != null && data.getData() != null) {
            open(data.getData());
        } else if (request == TAKE && bench.photo().length() > 0) {
            open(FilesProvider.uri(bench.photo()));
        }
    }

    @Override protected void onNewIntent(Intent intent) {
        super.onNewIntent(intent);
        setIntent(intent);
        sharedTaken = false;
        takeShared(intent);
    }

    private void takeShared(Intent intent) {
        if (intent == null || !Intent.ACTION_SEND.equals(intent.getAction()) || sharedTaken) {
            return;
        }
        sharedTaken = true;
        Object stream = intent.getParcelableExtra(Intent.EXTRA_STREAM);
        if (stream instanceof Uri) {
            open((Uri) stream);
        } else {
            tell(new Failure(getString(R.string.fail_gone), getString(R.string.fail_gone_hint), null));
        }
    }

    private void open(Uri uri) {
        note = "";
        beside = null;
        bench.open(uri, choosers.choice());
    }

    // ---- Where results go

    private void save() {
        Workbench.Result result = bench.result;
        if (result == null) {
            return;
        }
        if (Gallery.needsPermission()
                && checkSelfPermission(Manifest.permission.WRITE_EXTERNAL_STORAGE) != PackageManager.PERMISSION_GRANTED) {
            requestPermissions(new String[] {Manifest.permission.WRITE_EXTERNAL_STORAGE}, PERMISSION);
            return;
        }
        beside = null;
        Context context = getApplicationContext();
        Handler main = new Handler(Looper.getMainLooper());
        findViewById(R.id.save).setEnabled(false);
        bench.later(() -> {
            Failure failure = null;
            try {
                Gallery.save(context, result.file, result.file.getName());
            } catch (java.io.IOException | RuntimeException error) {
                failure = Failures.ofSaving(context, error, result.file.length());
            }
            Failure failed = failure;
            main.post(() -> {
                if (failed == null) {
                    note = getString(R.string.saved, result.file.getName());
                    Toast.makeText(context, note, Toast.LENGTH_LONG).show();
                    changed();
                } else {
                    tell(failed);
                }
            });
        });
    }

    @Override public void onRequestPermissionsResult(int request, String[] permissions, int[] grants) {
        boolean granted = grants.length > 0 && grants[0] == PackageManager.PERMISSION_GRANTED;
        if (request == PERMISSION) {
            if (granted) {
                save();
            } else {
                tell(new Failure(getString(R.string.fail_save_permission), getString(R.string.fail_save_permission_hint), null));
            }
        } else if (request == CAMERA_PERMISSION) {
            if (granted) {
                take();
            } else {
                tell(new Failure(getString(R.string.fail_camera_permission),
                        getString(R.string.fail_camera_permission_hint), null));
            }
        }
    }

    private void share() {
        if (bench.result == null) {
            return;
        }
        Uri uri = FilesProvider.uri(bench.result.file);
        Intent send = new Intent(Intent.ACTION_SEND).setType("image/png").putExtra(Intent.EXTRA_STREAM, uri)
                .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION);
        send.setClipData(android.content.ClipData.newRawUri("", uri));
        startActivity(Intent.createChooser(send, getString(R.string.share)));
    }

    // ---- What is shown

    private void tell(Failure failure) {
        beside = failure;
        changed();
    }

    @Override public void changed() {
        Workbench.Stage stage = bench.stage;
        Workbench.Result result = bench.result;
        boolean busy = stage == Workbench.Stage.LOADING || stage == Workbench.Stage.WORKING;
        if (busy || stage == Workbench.Stage.FAILED) {
            note = "";
        }
        compare.show(bench.source, result == null ? null : result.preview, result == null ? 1 : result.scale);
        showEmpty(stage);
        progressRow.setVisibility(busy ? View.VISIBLE : View.GONE);
        progress.setIndeterminate(stage == Workbench.Stage.LOADING);
        progress.setProgress(bench.permille);
        findViewById(R.id.save).setEnabled(result != null);
        findViewById(R.id.share).setEnabled(result != null);
        setText(headline, headline(stage, result));
        setText(details, details(stage, result));
    }

    /** The middle of the screen where there is no picture to look at: what to do, or what went wrong. */
    private void showEmpty(Workbench.Stage stage) {
        boolean failed = stage == Workbench.Stage.FAILED && bench.source == null;
        empty.setVisibility(bench.source == null && stage != Workbench.Stage.LOADING ? View.VISIBLE : View.GONE);
        emptyIcon.setImageResource(failed ? R.drawable.ic_fail : R.drawable.ic_logo);
        setText(emptyTitle, failed ? bench.failure.title : getString(R.string.empty_title));
        setText(emptyText, failed ? bench.failure.hint : getString(R.string.empty_text));
        emptyButton.setText(R.string.choose_picture);
        emptyButton.setOnClickListener(view -> pick());
    }

    private String headline(Workbench.Stage stage, Workbench.Result result) {
        if (beside != null) {
            return beside.title;
        }
        switch (stage) {
            case LOADING:
                return getString(R.string.loading);
            case WORKING:
                return getString(R.string.working, bench.permille / 10);
            case FAILED:
                return bench.source == null ? "" : bench.failure.title;
            case DONE:
                return getString(R.string.size, bench.source.getWidth(), bench.source.getHeight(), result.width,
                        result.height);
            default:
                return note;
        }
    }

    private String details(Workbench.Stage stage, Workbench.Result result) {
        if (beside != null) {
            return beside.hint;
        }
        switch (stage) {
            case FAILED:
                return bench.source == null ? "" : bench.failure.hint;
            case DONE:
                String facts = getString(result.threads == 1 ? R.string.facts_one : R.string.facts,
                        Facts.time(this, result.milliseconds), Facts.runtime(this, result.choice.runtime), result.threads,
                        Facts.bytes(this, result.peakBytes));
                String more = !note.isEmpty() ? note : bench.missing > 0
                        ? getString(R.string.made_up, Math.max(0.1, 100 * bench.missing))
                        : result.reduced ? getString(R.string.reduced) : "";
                return more.isEmpty() ? facts : facts + "\n" + more;
            default:
                return "";
        }
    }

    /** TalkBack says a text again where it is set again. */
    private static void setText(TextView view, String text) {
        if (!text.contentEquals(view.getText())) {
            view.setText(text);
        }
        view.setVisibility(text.isEmpty() ? View.GONE : View.VISIBLE);
    }

    // ---- Life

    @Override public Object onRetainNonConfigurationInstance() {
        return bench;
    }

    @Override protected void onSaveInstanceState(Bundle state) {
        super.onSaveInstanceState(state);
        // A picture that is not read yet is taken again.
        state.putString(BENCH, bench.id);
        state.putBoolean(SHARED_TAKEN, sharedTaken && bench.stage != Workbench.Stage.LOADING);
        if (bench.source != null) {
            state.putString(SOURCE, bench.name);
        }
    }

    @Override public void onTrimMemory(int level) {
        super.onTrimMemory(level);
        if (level >= TRIM_MEMORY_BACKGROUND) {
            bench.trim();
        }
    }

    @Override protected void onDestroy() {
        bench.setListener(null);
        if (!isChangingConfigurations()) {
            bench.end();
        }
        super.onDestroy();
    }

    Workbench bench() {
        return bench;
    }
}
