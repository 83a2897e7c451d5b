package org.robolectric.shadows;

/** The bars of a phone with gestures: Robolectric keeps them from other packages. */
public final class SystemBars {
    private SystemBars() {}

    public static void show() {
        SystemUi.systemUiForDefaultDisplay().setBehavior(SystemUi.STANDARD_STATUS_BAR, SystemUi.GESTURAL_NAVIGATION);
    }
}
