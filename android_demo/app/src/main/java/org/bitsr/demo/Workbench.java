package org.bitsr.demo;

import android.content.Context;
import android.graphics.Bitmap;
import android.net.Uri;
import android.os.Handler;
import android.os.Looper;

import java.io.BufferedOutputStream;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

import org.bitsr.engine.BitsrException;
import org.bitsr.engine.CancelledException;
import org.bitsr.engine.Engine;
import org.bitsr.engine.PngWriter;
import org.bitsr.engine.Upscaler;

/**
 * The picture that is worked on: it outlives the activities that show it. Everything that takes time happens on one
 * thread of its own; what it knows is changed on the main thread alone, and the listener told.
 */
final class Workbench {
    /** EMPTY: no picture. READY: a picture without a result, because the work was cancelled. */
    enum Stage { EMPTY, LOADING, WORKING, READY, DONE, FAILED }

    interface Listener {
        void changed();
    }

    /** A finished enlargement: the whole of it as a file, the preview to look at. */
    static final class Result {
        final Choice choice;
        final File file;
        final Bitmap preview;
        final int width, height, scale, threads;
        final boolean reduced;
        final double milliseconds;
        final long peakBytes;

        Result(Choice choice, File file, Preview preview, int width, int height, int scale, int threads,
                double milliseconds, long peakBytes) {
            this.choice = choice;
            this.file = file;
            this.preview = preview.bitmap;
            reduced = preview.step > 1;
            this.width = width;
            this.height = height;
            this.scale = scale;
            this.threads = threads;
            this.milliseconds = milliseconds;
            this.peakBytes = peakBytes;
        }
    }

    /** Folders of workbenches that nobody came back to are removed after so long. */
    private static final long KEPT_MILLISECONDS = 24 * 3600 * 1000L;

    private final Context context;
    /** Names its folder, also for the process that goes on after this one was ended. */
    final String id;
    private final File folder;
    final Models models;
    private final ExecutorService worker = Executors.newSingleThreadExecutor(task -> new Thread(task, "bitsr-work"));
    private final Handler main = new Handler(Looper.getMainLooper());
    private Listener listener;
    /** Counts tasks: what an older one says is not heard. */
    private volatile int task;

    /** The choice of the work that was begun last. */
    private Choice asked;

    Stage stage = Stage.EMPTY;
    String name = "";
    Bitmap source;
    /** The share of its pixels that the picture's file lacks. */
    double missing;
    Result result;
    Failure failure;
    int permille;

    /** Of the worker alone: the open model, and what it is. */
    private Upscaler upscaler;
    private Choice opened;

    Workbench(Context context, String id) {
        this.context = context.getApplicationContext();
        this.id = id;
        folder = folder(context, id);
        folder.mkdirs();
        folder.setLastModified(System.currentTimeMillis());
        worker.execute(this::removeOld);
        models = new Models(new Content(context));
    }

    void setListener(Listener next) {
        listener = next;
    }

    Choice asked() {
        return asked;
    }

    static File folder(Context context, String id) {
        return new File(new File(context.getCacheDir(), "work"), id);
    }

    private void removeOld() {
        File[] all = folder.getParentFile().listFiles();
        for (File old : all == null ? new File[0] : all) {
            if (!old.equals(folder) && old.lastModified() < System.currentTimeMillis() - KEPT_MILLISECONDS) {
                remove(old);
            }
        }
    }

    private static void remove(File file) {
        File[] inside = file.listFiles();
        for (File one : inside == null ? new File[0] : inside) {
            remove(one);
        }
        file.delete();
    }

    /** The copy of the picture that is worked on; it survives the end of the process. */
    File copy() {
        return new File(folder, "picture");
    }

    /** The place for a photo of the camera. */
    File photo() {
        return FilesProvider.file(folder, "photo.jpg");
    }

    /** A result while it is written. */
    File part() {
        return new File(folder, "result.part");
    }

    /** Reads a picture of others, and enlarges it. */
    void open(Uri uri, Choice choice) {
        int number = begin(Stage.LOADING);
        asked = choice;
        source = null;
        result = null;
        changed();
        run(number, () -> {
            String from = Photos.name(context, uri);
            Photos.copy(context, uri, copy());
            load(number, from, choice);
        });
    }

    /** Goes on with {@link #copy} after the process was ended. */
    void reopen(String from, Choice choice) {
        int number = begin(Stage.LOADING);
        asked = choice;
        changed();
        run(number, () -> load(number, from, choice));
    }

    private void load(int number, String from, Choice choice) throws Failure, IOException, BitsrException {
        Photo photo = Photos.decode(context, copy());
        tell(number, () -> {
            name = from;
            source = photo.bitmap;
            missing = photo.missing;
            stage = Stage.WORKING;
            permille = 0;
        });
        enlarge(number, photo.bitmap, from, choice);
    }

    /** Enlarges the picture again, by another choice. */
    void enlarge(Choice choice) {
        Bitmap bitmap = source;
        if (bitmap == null) {
            return;
        }
        String from = name;
        int number = begin(Stage.WORKING);
        asked = choice;
        result = null;
        changed();
        run(number, () -> enlarge(number, bitmap, from, choice));
    }

    private void enlarge(int number, Bitmap bitmap, String from, Choice choice)
            throws Failure, IOException, BitsrException {
        if (models.names().isEmpty()) {
            throw new Failure(context.getString(R.string.fail_no_models), context.getString(R.string.fail_no_models_hint),
                    null);
        }
        if (!choice.equals(opened)) {
            closeModel();
            upscaler = models.open(choice.model, choice.runtime, choice.threads);
            opened = choice;
        }
        if (!upscaler.info().upscalesPictures) {
            throw new Failure(context.getString(R.string.fail_model), context.getString(R.string.fail_no_pictures), null);
        }
        int scale = upscaler.info().scale, width = bitmap.getWidth() * scale, height = bitmap.getHeight() * scale;
        Preview preview = new Preview(width, height, bitmap.hasAlpha());
        File file = FilesProvider.file(folder, resultName(from, scale)), part = part();
        double milliseconds;
        try {
            try (PngWriter png = new PngWriter(new BufferedOutputStream(new FileOutputStream(part), 1 << 16), width, height,
                    bitmap.hasAlpha(), Exif.kept(copy()))) {
                long started = System.nanoTime();
                long[] writing = {0};
                upscaler.upscale(bitmap, Upscaler.TILE_PIXELS, (top, count, argb) -> {
                    long before = System.nanoTime();
                    preview.accept(top, count, argb);
                    png.accept(top, count, argb);
                    writing[0] += System.nanoTime() - before;
                }, (done, total) -> {
                    int share = (int) (1000 * done / total);
                    tell(number, () -> permille = share);
                    return number == task;
                });
                milliseconds = (System.nanoTime() - started - writing[0]) / 1e6;
                png.finish();
            }
            if (!part.renameTo(file)) {
                throw new IOException(file.getName());
            }
            for (File old : file.getParentFile().listFiles()) {
                if (old.getName().endsWith(".png") && !old.equals(file)) {
                    old.delete();
                }
            }
        } catch (IOException error) {
            throw Failures.ofSaving(context, error, part.length());
        } finally {
            // Where it became the result there is none.
            part.delete();
        }
        Result finished = new Result(choice, file, preview, width, height, scale, upscaler.info().threads,
                milliseconds, Engine.peakMemory());
        tell(number, () -> {
            result = finished;
            stage = Stage.DONE;
        });
    }

    /** "photo.jpg" becomes "photo_x4.png", as in the command line. */
    static String resultName(String from, int scale) {
        int dot = from.lastIndexOf('.');
        String stem = (dot > 0 ? from.substring(0, dot) : from).replaceAll("[/\\\\:*?\"<>|\\p{Cntrl}]", "_");
        return (stem.isEmpty() || stem.startsWith(".") ? "picture" + stem : stem) + "_x" + scale + ".png";
    }

    /** Ends the work; the picture stays. */
    void cancel() {
        if (stage == Stage.LOADING || stage == Stage.WORKING) {
            begin(source == null ? Stage.EMPTY : Stage.READY);
            changed();
        }
    }

    /** Runs something beside the enlargement, after it. */
    Future<?> later(Runnable work) {
        return worker.submit(work);
    }

    private int begin(Stage next) {
        task++;
        stage = next;
        failure = null;
        permille = 0;
        return task;
    }

    private interface Work {
        void run() throws Failure, IOException, BitsrException;
    }

    private void run(int number, Work work) {
        worker.execute(() -> {
            if (number != task) {
                return;
            }
            try {
                work.run();
            } catch (CancelledException cancelled) {
                // Whoever cancelled has said what is next.
            } catch (Exception | OutOfMemoryError error) {
                Failure failed = Failures.of(context, error);
                tell(number, () -> {
                    failure = failed;
                    stage = Stage.FAILED;
                });
            }
        });
    }

    private void tell(int number, Runnable change) {
        main.post(() -> {
            if (number == task) {
                change.run();
                changed();
            }
        });
    }

    private void changed() {
        if (listener != null) {
            listener.changed();
        }
    }

    private void closeModel() {
        if (upscaler != null) {
            upscaler.close();
            upscaler = null;
            opened = null;
        }
    }

    /** The phone needs memory: an idle model is closed, and opened again when it is needed. */
    void trim() {
        if (stage != Stage.WORKING) {
            worker.execute(this::closeModel);
        }
    }

    void end() {
        begin(Stage.EMPTY);
        worker.execute(this::closeModel);
        worker.shutdown();
    }
}
