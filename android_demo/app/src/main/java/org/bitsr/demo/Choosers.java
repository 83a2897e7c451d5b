package org.bitsr.demo;

import android.app.Activity;
import android.content.Context;
import android.content.SharedPreferences;
import android.view.View;
import android.widget.AdapterView;
import android.widget.ArrayAdapter;
import android.widget.Spinner;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** The choosers of model, runtime and threads (layout/choosers.xml); each activity remembers its own choice. */
final class Choosers {
    private static final String MODEL = "model", RUNTIME = "runtime", THREADS = "threads";
    private static final int MOST_THREADS = 8, USUAL_THREADS = 4;

    private final Activity activity;
    private final Models models;
    private final SharedPreferences kept;
    private final Spinner model, runtime, threads;
    private final List<String> names;
    private List<String> runtimes;

    /**
     * @param usual the model where none was chosen yet; "" where there is none at all
     * @param chosen called when a chooser was used, or only laid out
     */
    Choosers(Activity activity, Models models, String usual, Runnable chosen) {
        this.activity = activity;
        this.models = models;
        kept = activity.getPreferences(Context.MODE_PRIVATE);
        model = activity.findViewById(R.id.model);
        runtime = activity.findViewById(R.id.runtime);
        threads = activity.findViewById(R.id.threads);
        names = models.names();
        List<String> words = new ArrayList<>();
        for (String name : names) {
            words.add(Facts.model(name));
        }
        fill(model, words, names.indexOf(names.contains(kept.getString(MODEL, "")) ? kept.getString(MODEL, "") : usual));
        List<String> counts = new ArrayList<>();
        for (int count = 1; count <= Math.min(MOST_THREADS, Runtime.getRuntime().availableProcessors()); count++) {
            counts.add(String.valueOf(count));
        }
        fill(threads, counts, Math.min(kept.getInt(THREADS, USUAL_THREADS), counts.size()) - 1);
        setRuntimes();
        AdapterView.OnItemSelectedListener listener = new AdapterView.OnItemSelectedListener() {
            @Override public void onItemSelected(AdapterView<?> parent, View view, int position, long id) {
                if (parent == model) {
                    setRuntimes();
                }
                keep();
                chosen.run();
            }

            @Override public void onNothingSelected(AdapterView<?> parent) {}
        };
        model.setOnItemSelectedListener(listener);
        runtime.setOnItemSelectedListener(listener);
        threads.setOnItemSelectedListener(listener);
    }

    private void fill(Spinner spinner, List<String> words, int selected) {
        ArrayAdapter<String> adapter = new ArrayAdapter<>(activity, R.layout.chooser_item, words);
        adapter.setDropDownViewResource(R.layout.chooser_row);
        spinner.setAdapter(adapter);
        spinner.setEnabled(words.size() > 1);
        if (!words.isEmpty()) {
            spinner.setSelection(Math.max(selected, 0), false);
        }
    }

    private void setRuntimes() {
        int at = model.getSelectedItemPosition();
        List<String> next = at < 0 ? Collections.emptyList() : models.runtimes(names.get(at));
        if (next.equals(runtimes)) {
            return;
        }
        runtimes = next;
        List<String> words = new ArrayList<>();
        for (String one : runtimes) {
            words.add(Facts.runtime(activity, one));
        }
        fill(runtime, words, runtimes.indexOf(kept.getString(RUNTIME, "")));
    }

    private void keep() {
        Choice choice = choice();
        SharedPreferences.Editor edit = kept.edit().putString(MODEL, choice.model).putInt(THREADS, choice.threads);
        // What a model only lacks is no choice of its user: the next model may have it.
        if (runtimes.contains(kept.getString(RUNTIME, Models.CORE)) || runtime.getSelectedItemPosition() > 0) {
            edit.putString(RUNTIME, choice.runtime);
        }
        edit.apply();
    }

    /** Empty names where there is no model. */
    Choice choice() {
        int name = model.getSelectedItemPosition(), way = runtime.getSelectedItemPosition();
        return new Choice(name < 0 ? "" : names.get(name), way < 0 ? "" : runtimes.get(way),
                Math.max(threads.getSelectedItemPosition(), 0) + 1);
    }
}
