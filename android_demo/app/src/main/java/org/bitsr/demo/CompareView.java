package org.bitsr.demo;

import android.content.Context;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.graphics.Matrix;
import android.graphics.Outline;
import android.graphics.Paint;
import android.graphics.Path;
import android.graphics.RectF;
import android.os.Bundle;
import android.util.AttributeSet;
import android.util.TypedValue;
import android.view.GestureDetector;
import android.view.KeyEvent;
import android.view.MotionEvent;
import android.view.ScaleGestureDetector;
import android.view.View;
import android.view.ViewOutlineProvider;
import android.view.accessibility.AccessibilityEvent;
import android.view.accessibility.AccessibilityNodeInfo;

/**
 * A picture before and after, with a line between them. The line is dragged by its handle or from anywhere near it; other
 * drags move the enlarged picture, two fingers zoom, a double tap zooms in and out. For TalkBack and keys it is a slider.
 */
public final class CompareView extends View {
    private static final float MOST_ZOOM = 16, DOUBLE_TAP_ZOOM = 3, STEP = 0.1f, HANDLE_DP = 22, CORNER_DP = 20;

    private final Paint picture = new Paint(Paint.FILTER_BITMAP_FLAG | Paint.ANTI_ALIAS_FLAG);
    private final Paint line = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final Paint label = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final Matrix toView = new Matrix(), toViewBefore = new Matrix();
    private final RectF shown = new RectF();
    private final Path arrows = new Path();
    private final GestureDetector gestures;
    private final ScaleGestureDetector scales;

    private Bitmap before, after;
    private String afterLabel = "";
    private float split = 0.5f;
    private float zoom = 1, offsetX, offsetY;
    private boolean dragsLine;

    public CompareView(Context context, AttributeSet attributes) {
        super(context, attributes);
        line.setStrokeCap(Paint.Cap.ROUND);
        line.setStrokeJoin(Paint.Join.ROUND);
        label.setTextSize(TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_SP, 13, getResources().getDisplayMetrics()));
        setClipToOutline(true);
        setOutlineProvider(new ViewOutlineProvider() {
            @Override public void getOutline(View view, Outline outline) {
                outline.setRoundRect(getPaddingLeft(), getPaddingTop(), getWidth() - getPaddingRight(),
                        getHeight() - getPaddingBottom(), dp(CORNER_DP));
            }
        });
        gestures = new GestureDetector(context, new GestureDetector.SimpleOnGestureListener() {
            @Override public boolean onDown(MotionEvent event) {
                dragsLine = after != null && Math.abs(event.getX() - lineX()) < dp(2 * HANDLE_DP);
                getParent().requestDisallowInterceptTouchEvent(dragsLine || zoom > 1);
                return before != null;
            }

            @Override public boolean onScroll(MotionEvent from, MotionEvent to, float dx, float dy) {
                if (dragsLine) {
                    setSplit(to.getX() / Math.max(getWidth(), 1));
                } else {
                    move(-dx, -dy);
                }
                return true;
            }

            @Override public boolean onDoubleTap(MotionEvent event) {
                zoomTo(zoom > 1 ? 1 : DOUBLE_TAP_ZOOM, event.getX(), event.getY());
                return true;
            }
        });
        scales = new ScaleGestureDetector(context, new ScaleGestureDetector.SimpleOnScaleGestureListener() {
            @Override public boolean onScale(ScaleGestureDetector detector) {
                zoomTo(zoom * detector.getScaleFactor(), detector.getFocusX(), detector.getFocusY());
                return true;
            }
        });
    }

    private float dp(float value) {
        return value * getResources().getDisplayMetrics().density;
    }

    /** Another picture; {@code result} is null while it is not computed. The zoom stays where only the result is new. */
    void show(Bitmap source, Bitmap result, int scale) {
        if (source != before) {
            zoom = 1;
            offsetX = 0;
            offsetY = 0;
        }
        before = source;
        after = result;
        afterLabel = getResources().getString(R.string.after, scale);
        describe();
        invalidate();
    }

    Bitmap before() {
        return before;
    }

    Bitmap after() {
        return after;
    }

    float split() {
        return split;
    }

    float zoom() {
        return zoom;
    }

    void setSplit(float value) {
        split = Math.max(0, Math.min(1, value));
        describe();
        invalidate();
    }

    private void describe() {
        setContentDescription(before == null ? getResources().getString(R.string.compare_empty)
                : getResources().getString(R.string.compare_description, Math.round(split * 100)));
    }

    private float lineX() {
        return split * getWidth();
    }

    private void zoomTo(float wanted, float x, float y) {
        float next = Math.max(1, Math.min(MOST_ZOOM, wanted)), factor = next / zoom;
        offsetX = (offsetX + getWidth() / 2f - x) * factor + x - getWidth() / 2f;
        offsetY = (offsetY + getHeight() / 2f - y) * factor + y - getHeight() / 2f;
        zoom = next;
        move(0, 0);
    }

    /** Moves the picture, but never its edge further inside than the view's. */
    private void move(float dx, float dy) {
        place();
        float x = Math.max(0, (shown.width() - getWidth()) / 2), y = Math.max(0, (shown.height() - getHeight()) / 2);
        offsetX = Math.max(-x, Math.min(x, offsetX + dx));
        offsetY = Math.max(-y, Math.min(y, offsetY + dy));
        invalidate();
    }

    /** Where the picture lies: as large as fits, then zoomed and moved. */
    private void place() {
        if (before == null) {
            return;
        }
        float fit = Math.min((float) getWidth() / before.getWidth(), (float) getHeight() / before.getHeight()) * zoom;
        float width = before.getWidth() * fit, height = before.getHeight() * fit;
        float left = (getWidth() - width) / 2 + offsetX, top = (getHeight() - height) / 2 + offsetY;
        shown.set(left, top, left + width, top + height);
        toViewBefore.setRectToRect(new RectF(0, 0, before.getWidth(), before.getHeight()), shown, Matrix.ScaleToFit.FILL);
        if (after != null) {
            toView.setRectToRect(new RectF(0, 0, after.getWidth(), after.getHeight()), shown, Matrix.ScaleToFit.FILL);
        }
    }

    @Override protected void onSizeChanged(int width, int height, int oldWidth, int oldHeight) {
        super.onSizeChanged(width, height, oldWidth, oldHeight);
        move(0, 0);
    }

    @Override protected void onDraw(Canvas canvas) {
        if (before == null) {
            return;
        }
        place();
        float x = lineX();
        canvas.save();
        if (after != null) {
            canvas.clipRect(0, 0, x, getHeight());
        }
        canvas.drawBitmap(before, toViewBefore, picture);
        canvas.restore();
        if (after == null) {
            return;
        }
        canvas.save();
        canvas.clipRect(x, 0, getWidth(), getHeight());
        canvas.drawBitmap(after, toView, picture);
        canvas.restore();
        drawLabel(canvas, getResources().getString(R.string.before), true, x);
        drawLabel(canvas, afterLabel, false, x);
        drawLine(canvas, x);
    }

    private void drawLine(Canvas canvas, float x) {
        float y = getHeight() / 2f, radius = dp(HANDLE_DP), top = Math.max(0, shown.top);
        float bottom = Math.min(getHeight(), shown.bottom);
        line.setStyle(Paint.Style.STROKE);
        line.setStrokeWidth(dp(4));
        line.setColor(0x40000000);
        canvas.drawLine(x, top, x, bottom, line);
        line.setStrokeWidth(dp(2));
        line.setColor(0xffffffff);
        canvas.drawLine(x, top, x, bottom, line);
        line.setStyle(Paint.Style.FILL);
        line.setColor(0x33000000);
        canvas.drawCircle(x, y + dp(1), radius + dp(1.5f), line);
        line.setColor(0xffffffff);
        canvas.drawCircle(x, y, radius, line);
        arrows.rewind();
        for (int side = -1; side <= 1; side += 2) {
            arrows.moveTo(x + side * dp(6), y - dp(5));
            arrows.lineTo(x + side * dp(11), y);
            arrows.lineTo(x + side * dp(6), y + dp(5));
        }
        line.setStyle(Paint.Style.STROKE);
        line.setStrokeWidth(dp(2));
        line.setColor(0xff1f2a27);
        canvas.drawPath(arrows, line);
    }

    /** At the top of the picture, in its own half, while there is room for it. */
    private void drawLabel(Canvas canvas, String text, boolean left, float x) {
        float padding = dp(10), margin = dp(12), width = label.measureText(text) + 2 * padding, height = dp(28);
        float start = left ? Math.max(0, shown.left) + margin : Math.min(getWidth(), shown.right) - margin - width;
        float top = Math.max(0, shown.top) + margin;
        if (left ? start + width > x - dp(4) : start < x + dp(4)) {
            return;
        }
        label.setColor(0xa6000000);
        canvas.drawRoundRect(start, top, start + width, top + height, height / 2, height / 2, label);
        label.setColor(0xffffffff);
        canvas.drawText(text, start + padding, top + height / 2 - (label.ascent() + label.descent()) / 2, label);
    }

    @Override public boolean onTouchEvent(MotionEvent event) {
        boolean scaled = scales.onTouchEvent(event);
        return gestures.onTouchEvent(event) || scaled && before != null || super.onTouchEvent(event);
    }

    @Override public boolean onKeyDown(int key, KeyEvent event) {
        if (after != null && (key == KeyEvent.KEYCODE_DPAD_LEFT || key == KeyEvent.KEYCODE_DPAD_RIGHT)) {
            setSplit(split + (key == KeyEvent.KEYCODE_DPAD_LEFT ? -STEP : STEP));
            return true;
        }
        return super.onKeyDown(key, event);
    }

    @Override public CharSequence getAccessibilityClassName() {
        return android.widget.SeekBar.class.getName();
    }

    @Override public void onInitializeAccessibilityNodeInfo(AccessibilityNodeInfo info) {
        super.onInitializeAccessibilityNodeInfo(info);
        if (after != null) {
            info.setRangeInfo(AccessibilityNodeInfo.RangeInfo.obtain(
                    AccessibilityNodeInfo.RangeInfo.RANGE_TYPE_INT, 0, 100, split * 100));
            info.addAction(AccessibilityNodeInfo.AccessibilityAction.ACTION_SCROLL_FORWARD);
            info.addAction(AccessibilityNodeInfo.AccessibilityAction.ACTION_SCROLL_BACKWARD);
        }
    }

    @Override public boolean performAccessibilityAction(int action, Bundle arguments) {
        if (after != null && (action == AccessibilityNodeInfo.ACTION_SCROLL_FORWARD
                || action == AccessibilityNodeInfo.ACTION_SCROLL_BACKWARD)) {
            setSplit(split + (action == AccessibilityNodeInfo.ACTION_SCROLL_FORWARD ? STEP : -STEP));
            sendAccessibilityEvent(AccessibilityEvent.TYPE_VIEW_SELECTED);
            return true;
        }
        return super.performAccessibilityAction(action, arguments);
    }
}
