package org.bitsr.demo;

import android.app.Activity;
import android.view.View;
import android.view.WindowInsets;

/** Windows reach from edge to edge: what is drawn stays clear of the system's bars and of a cutout. */
final class Edges {
    private Edges() {}

    interface Use {
        void insets(int left, int top, int right, int bottom);
    }

    static void apply(Activity activity, View root, Use use) {
        int flags = View.SYSTEM_UI_FLAG_LAYOUT_STABLE | View.SYSTEM_UI_FLAG_LAYOUT_FULLSCREEN
                | View.SYSTEM_UI_FLAG_LAYOUT_HIDE_NAVIGATION;
        if (activity.getResources().getBoolean(R.bool.light_bars)) {
            flags |= View.SYSTEM_UI_FLAG_LIGHT_STATUS_BAR | View.SYSTEM_UI_FLAG_LIGHT_NAVIGATION_BAR;
        }
        activity.getWindow().getDecorView().setSystemUiVisibility(flags);
        root.setOnApplyWindowInsetsListener((view, insets) -> {
            use.insets(insets.getSystemWindowInsetLeft(), insets.getSystemWindowInsetTop(),
                    insets.getSystemWindowInsetRight(), insets.getSystemWindowInsetBottom());
            return insets.consumeSystemWindowInsets();
        });
    }
}
