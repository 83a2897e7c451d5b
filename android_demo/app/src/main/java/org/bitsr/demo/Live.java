package org.bitsr.demo;

import android.content.Context;
import android.os.Handler;
import android.os.Looper;

import java.io.IOException;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

import org.bitsr.engine.BitsrException;
import org.bitsr.engine.CancelledException;
import org.bitsr.engine.Upscaler;

/**
 * Enlarges the newest frame of a source, one at a time. Frames that come meanwhile are dropped but for the last, so that
 * what is shown is never older than one enlargement.
 */
final class Live implements FrameSource.Listener {
    /** An enlarged frame, and how fast the last ones were. */
    static final class Shown {
        final FrameSource.Frame frame;
        final int[] enlarged;
        final int scale, threads;
        final String runtime;
        /** Enlarged frames in a second; 0 while there are too few to tell. */
        final double rate;
        /** Of the network with its tiles, for this frame. */
        final double milliseconds;
        /** Frames since the start, and how many of them were not enlarged. */
        final long frames, dropped;

        Shown(FrameSource.Frame frame, int[] enlarged, Upscaler upscaler, String runtime, double rate, double milliseconds, long frames,
                long dropped) {
            this.frame = frame;
            this.enlarged = enlarged;
            scale = upscaler.info().scale;
            threads = upscaler.info().threads;
            this.runtime = runtime;
            this.rate = rate;
            this.milliseconds = milliseconds;
            this.frames = frames;
            this.dropped = dropped;
        }
    }

    /** Both are called on the main thread, and not after {@link #stop}. */
    interface Listener {
        void show(Shown shown);

        void failed(Failure failure);
    }

    private static final int FRAMES_OF_RATE = 30;
    private static final double NANOSECONDS = 1e9;

    private final Context context;
    private final Models models;
    private final FrameSource source;
    private final Listener listener;
    private final Handler main = new Handler(Looper.getMainLooper());
    private final ExecutorService worker = Executors.newSingleThreadExecutor(task -> new Thread(task, "bitsr-live"));
    private final AtomicReference<FrameSource.Frame> newest = new AtomicReference<>();
    private final AtomicReference<Shown> next = new AtomicReference<>();
    private final AtomicLong frames = new AtomicLong(), dropped = new AtomicLong();
    private volatile Choice choice;
    private volatile boolean stopped;

    /** Of the worker alone: the open model, which one it is, and when the last frames were done. */
    private Upscaler upscaler;
    private Choice opened;
    private final Deque<Long> done = new ArrayDeque<>();

    Live(Context context, Models models, FrameSource source, Choice choice, Listener listener) {
        this.context = context.getApplicationContext();
        this.models = models;
        this.source = source;
        this.choice = choice;
        this.listener = listener;
        source.start(this);
    }

    /** The next frame goes through this model. */
    void choose(Choice other) {
        choice = other;
    }

    @Override public void frame(FrameSource.Frame frame) {
        if (stopped) {
            return;
        }
        frames.incrementAndGet();
        if (newest.getAndSet(frame) == null) {
            worker.execute(this::enlarge);
        } else {
            dropped.incrementAndGet();
        }
    }

    @Override public void failed(Failure failure) {
        main.post(() -> {
            if (!stopped) {
                listener.failed(failure);
            }
        });
    }

    private void enlarge() {
        FrameSource.Frame frame = newest.getAndSet(null);
        if (stopped) {
            return;
        }
        try {
            open();
            long started = System.nanoTime();
            int[] enlarged = upscaler.upscale(frame.argb, frame.width, frame.height, (part, all) -> !stopped);
            long ended = System.nanoTime();
            Shown shown = new Shown(frame, enlarged, upscaler, opened.runtime, rate(ended), (ended - started) / 1e6, frames.get(),
                    dropped.get());
            if (next.getAndSet(shown) == null) {
                main.post(() -> {
                    Shown newer = next.getAndSet(null);
                    if (!stopped) {
                        listener.show(newer);
                    }
                });
            }
        } catch (CancelledException cancelled) {
            // It was stopped.
        } catch (IOException | BitsrException | RuntimeException | OutOfMemoryError error) {
            failed(Failures.of(context, error));
        }
    }

    private void open() throws IOException, BitsrException {
        Choice wanted = choice;
        if (!wanted.equals(opened)) {
            close();
            upscaler = models.open(wanted.model, wanted.runtime, wanted.threads);
            opened = wanted;
            done.clear();
        }
    }

    private double rate(long ended) {
        done.addLast(ended);
        if (done.size() > FRAMES_OF_RATE) {
            done.removeFirst();
        }
        return done.size() < 2 ? 0 : (done.size() - 1) * NANOSECONDS / (done.getLast() - done.getFirst());
    }

    private void close() {
        if (upscaler != null) {
            upscaler.close();
            upscaler = null;
            opened = null;
        }
    }

    /** Called on the main thread; a frame that is being enlarged ends soon after. */
    void stop() {
        stopped = true;
        source.stop();
        worker.execute(this::close);
        worker.shutdown();
    }
}
