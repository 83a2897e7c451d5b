"""Where artifacts run: this machine's Python runtimes, the C++ runner, emulated arm64, devices behind adb."""
