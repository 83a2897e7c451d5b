package org.bitsr.demo;

/** Where live frames come from: a camera, or a test. */
interface FrameSource {
    /** Pixels 0xffRRGGBB, upright as the phone is held. */
    final class Frame {
        final int[] argb;
        final int width, height;

        Frame(int[] argb, int width, int height) {
            this.argb = argb;
            this.width = width;
            this.height = height;
        }
    }

    /** Called on a thread of the source; it may be called once more while {@link #stop} runs. */
    interface Listener {
        /** The source never touches the frame again. */
        void frame(Frame frame);

        /** No frames come any more. */
        void failed(Failure failure);
    }

    void start(Listener listener);

    /** Returns when the camera is free. */
    void stop();
}
