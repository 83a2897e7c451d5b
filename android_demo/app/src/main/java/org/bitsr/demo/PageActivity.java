package org.bitsr.demo;

import android.app.Activity;
import android.os.Bundle;
import android.view.View;
import android.view.ViewGroup;
import android.widget.ImageView;
import android.widget.TextView;

/** A screen of a title, a summary and a list. */
abstract class PageActivity extends Activity {
    private ViewGroup list;

    @Override protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        setContentView(R.layout.page);
        TextView title = findViewById(R.id.title);
        title.setText(getTitle());
        findViewById(R.id.back).setOnClickListener(view -> finish());
        list = findViewById(R.id.list);
        View root = findViewById(R.id.root), scroll = findViewById(R.id.scroll);
        Edges.apply(this, root, (left, top, right, bottom) -> {
            root.setPadding(left, top, right, 0);
            scroll.setPadding(0, 0, 0, bottom);
        });
    }

    final void summary(int icon, String text, String more) {
        ImageView image = findViewById(R.id.summary_icon);
        image.setImageResource(icon);
        ((TextView) findViewById(R.id.summary)).setText(text);
        TextView details = findViewById(R.id.summary_text);
        details.setText(more);
        details.setVisibility(more.isEmpty() ? View.GONE : View.VISIBLE);
    }

    final void clear() {
        list.removeAllViews();
    }

    final View add(int layout) {
        View view = getLayoutInflater().inflate(layout, list, false);
        list.addView(view);
        return view;
    }

    final void section(String text) {
        ((TextView) add(R.layout.section)).setText(text);
    }
}
