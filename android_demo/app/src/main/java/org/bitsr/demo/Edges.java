package org.bitsr.demo;

import android.app.Activity;
import android.view.View;
import android.widget.LinearLayout;

/** Windows reach from edge to edge: what is drawn stays clear of the system's bars and of a cutout. */
final class Edges {
    private Edges() {}

    interface Use {
        void insets(int left, int top, int right, int bottom);
    }

    /** The screens of a stage with a panel below it, or beside it where the phone lies on its side. */
    static void applyToStage(Activity activity) {
        LinearLayout root = activity.findViewById(R.id.root);
        View panel = activity.findViewById(R.id.panel), stage = activity.findViewById(R.id.stage);
        boolean wide = root.getOrientation() == LinearLayout.HORIZONTAL;
        int margin = stage.getPaddingBottom();
        apply(activity, root, (left, top, right, bottom) -> {
            if (wide) {
                stage.setPadding(margin + left, margin + top, margin, margin + bottom);
                panel.setPadding(0, top, right, bottom);
            } else {
                root.setPadding(left, top, right, 0);
                panel.setPadding(0, 0, 0, bottom);
            }
        });
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
