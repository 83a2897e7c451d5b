package org.bitsr.demo;

import android.content.Context;
import android.graphics.ImageFormat;
import android.hardware.camera2.CameraAccessException;
import android.hardware.camera2.CameraCaptureSession;
import android.hardware.camera2.CameraCharacteristics;
import android.hardware.camera2.CameraDevice;
import android.hardware.camera2.CameraManager;
import android.hardware.camera2.CaptureRequest;
import android.media.Image;
import android.media.ImageReader;
import android.os.Handler;
import android.os.HandlerThread;
import android.util.Size;

import java.util.Collections;
import java.util.function.IntSupplier;

/** The middle of what the camera at the back sees, or of the first one where there is none at the back. */
final class CameraFrames implements FrameSource {
    /** Of the region, in the sensor's direction; and the frame that it is cut from has these sides at least. */
    private static final int REGION_WIDTH = 240, REGION_HEIGHT = 180, FRAME_WIDTH = 640, FRAME_HEIGHT = 480;
    /** One that is read, and one that the camera writes. */
    private static final int IMAGES = 2;
    private static final int JOIN_MILLISECONDS = 3000;

    private final Context context;
    /** Degrees that the phone is turned by, counterclockwise: asked for each frame. */
    private final IntSupplier turned;
    private final HandlerThread thread = new HandlerThread("bitsr-camera");
    private Handler handler;
    private Listener listener;

    /** Of the camera's thread alone. */
    private CameraDevice camera;
    private ImageReader reader;
    private boolean opening, stopped, front;
    private int orientation;

    CameraFrames(Context context, IntSupplier turned) {
        this.context = context.getApplicationContext();
        this.turned = turned;
    }

    @Override public void start(Listener heard) {
        listener = heard;
        thread.start();
        handler = new Handler(thread.getLooper());
        handler.post(this::open);
    }

    private void open() {
        try {
            CameraManager manager = context.getSystemService(CameraManager.class);
            String id = find(manager);
            if (id == null) {
                fail(R.string.fail_no_lens, R.string.fail_no_lens_hint, null);
                return;
            }
            CameraCharacteristics facts = manager.getCameraCharacteristics(id);
            orientation = facts.get(CameraCharacteristics.SENSOR_ORIENTATION);
            front = facts.get(CameraCharacteristics.LENS_FACING) == CameraCharacteristics.LENS_FACING_FRONT;
            Size size = smallest(facts.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP)
                    .getOutputSizes(ImageFormat.YUV_420_888));
            reader = ImageReader.newInstance(size.getWidth(), size.getHeight(), ImageFormat.YUV_420_888, IMAGES);
            reader.setOnImageAvailableListener(this::read, handler);
            opening = true;
            manager.openCamera(id, new Opened(), handler);
        } catch (CameraAccessException | RuntimeException error) {
            opening = false;
            fail(error);
        }
    }

    private static String find(CameraManager manager) throws CameraAccessException {
        String[] ids = manager.getCameraIdList();
        for (String id : ids) {
            Integer facing = manager.getCameraCharacteristics(id).get(CameraCharacteristics.LENS_FACING);
            if (facing != null && facing == CameraCharacteristics.LENS_FACING_BACK) {
                return id;
            }
        }
        return ids.length == 0 ? null : ids[0];
    }

    /** The smallest size that is large enough; the largest where none is. */
    static Size smallest(Size[] sizes) {
        Size best = sizes[0];
        for (Size size : sizes) {
            boolean better = enough(size) ? !enough(best) || area(size) < area(best)
                    : !enough(best) && area(size) > area(best);
            if (better) {
                best = size;
            }
        }
        return best;
    }

    private static boolean enough(Size size) {
        return size.getWidth() >= FRAME_WIDTH && size.getHeight() >= FRAME_HEIGHT;
    }

    private static long area(Size size) {
        return (long) size.getWidth() * size.getHeight();
    }

    private final class Opened extends CameraDevice.StateCallback {
        @Override public void onOpened(CameraDevice device) {
            opening = false;
            camera = device;
            if (stopped) {
                end();
                return;
            }
            try {
                device.createCaptureSession(Collections.singletonList(reader.getSurface()), new Configured(), handler);
            } catch (CameraAccessException | RuntimeException error) {
                fail(error);
            }
        }

        @Override public void onDisconnected(CameraDevice device) {
            lost(device);
            fail(R.string.fail_camera_taken, R.string.fail_camera_taken_hint, null);
        }

        @Override public void onError(CameraDevice device, int error) {
            lost(device);
            boolean taken = error == ERROR_CAMERA_IN_USE || error == ERROR_MAX_CAMERAS_IN_USE;
            fail(taken ? R.string.fail_camera_taken : R.string.fail_camera,
                    taken ? R.string.fail_camera_taken_hint : R.string.fail_camera_hint, null);
        }
    }

    private void lost(CameraDevice device) {
        opening = false;
        camera = device;
        if (stopped) {
            end();
        } else {
            device.close();
        }
    }

    private final class Configured extends CameraCaptureSession.StateCallback {
        @Override public void onConfigured(CameraCaptureSession session) {
            if (stopped) {
                return;
            }
            try {
                CaptureRequest.Builder request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW);
                request.addTarget(reader.getSurface());
                request.set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_VIDEO);
                session.setRepeatingRequest(request.build(), null, handler);
            } catch (CameraAccessException | RuntimeException error) {
                fail(error);
            }
        }

        @Override public void onConfigureFailed(CameraCaptureSession session) {
            fail(R.string.fail_camera, R.string.fail_camera_hint, null);
        }
    }

    /** The newest image; older ones that wait are closed by the reader. */
    private void read(ImageReader images) {
        if (stopped) {
            return;
        }
        try (Image image = images.acquireLatestImage()) {
            if (image == null) {
                return;
            }
            Image.Plane[] planes = image.getPlanes();
            int width = image.getWidth(), height = image.getHeight();
            listener.frame(YuvRegion.of(plane(planes[0]), plane(planes[1]), plane(planes[2]), width, height,
                    Math.min(REGION_WIDTH, width), Math.min(REGION_HEIGHT, height),
                    upright(orientation, turned.getAsInt(), front)));
        } catch (RuntimeException error) {
            fail(error);
        }
    }

    private static YuvRegion.Plane plane(Image.Plane plane) {
        return new YuvRegion.Plane(plane.getBuffer(), plane.getRowStride(), plane.getPixelStride());
    }

    /** Degrees clockwise that make a sensor's picture upright on a phone that is turned counterclockwise. */
    static int upright(int sensor, int phone, boolean front) {
        return front ? (sensor + phone) % 360 : (sensor - phone + 360) % 360;
    }

    private void fail(int title, int hint, Throwable cause) {
        listener.failed(new Failure(context.getString(title), context.getString(hint), cause));
    }

    private void fail(Throwable error) {
        boolean barred = error instanceof SecurityException || error instanceof CameraAccessException
                && ((CameraAccessException) error).getReason() == CameraAccessException.CAMERA_DISABLED;
        boolean taken = error instanceof CameraAccessException
                && ((CameraAccessException) error).getReason() == CameraAccessException.CAMERA_IN_USE;
        if (barred) {
            fail(R.string.fail_camera_barred, R.string.fail_camera_barred_hint, error);
        } else if (taken) {
            fail(R.string.fail_camera_taken, R.string.fail_camera_taken_hint, error);
        } else {
            fail(R.string.fail_camera, R.string.fail_camera_hint, error);
        }
    }

    @Override public void stop() {
        handler.post(() -> {
            stopped = true;
            // A camera that is being opened is closed when it is open.
            if (!opening) {
                end();
            }
        });
        try {
            thread.join(JOIN_MILLISECONDS);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void end() {
        if (camera != null) {
            camera.close();
        }
        if (reader != null) {
            reader.close();
        }
        thread.quitSafely();
    }
}
