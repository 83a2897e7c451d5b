#!/bin/bash
# resources.sh ANDROID_ALL_JAR APP_FOLDER OUT VERSION ASSETS [PYTHON]
# The app's resources for API 26 to 35: OUT/resources.apk (binary, without assets), OUT/gen/.../R.java, and for the tests
# OUT/test.apk with the assets.
set -euo pipefail
jar=$1 app=$2 out=$3 version=$4 assets=$5 python=${6:-python3}
tools=$(dirname "$0")
mkdir -p "$out/gen"
# What is up to date stays: the sources in gen would be compiled anew, beside tests that read the classes.
if [ -e "$out/.made" ] && [ -z "$(find "$app/src/main/res" "$app/src/main/AndroidManifest.xml" "$tools" "$assets" "$jar" \
    -newer "$out/.made" -print -quit)" ]; then
  exit 0
fi
if [ "$tools/expand_resources.py" -nt "$out/framework.apk" ] || [ ! -s "$out/framework.apk" ]; then
  "$python" "$tools/expand_resources.py" "$jar" "$out/framework.part"
  mv "$out/framework.part" "$out/framework.apk"
fi
# Gradle takes the package from its own file, aapt2 from the manifest.
sed 's/<manifest /<manifest package="org.bitsr.demo" /' "$app/src/main/AndroidManifest.xml" > "$out/AndroidManifest.xml"
aapt2 compile --dir "$app/src/main/res" -o "$out/compiled.zip"
IFS=. read -r major minor patch <<< "$version"
link() {
  aapt2 link -I "$out/framework.apk" --manifest "$out/AndroidManifest.xml" --min-sdk-version 26 --target-sdk-version 35 \
    --version-name "$version" --version-code $((major * 10000 + minor * 100 + patch)) \
    "$@" "$out/compiled.zip" 2> "$out/aapt2.log" || { cat "$out/aapt2.log" >&2; exit 1; }
}
link --java "$out/gen" -o "$out/resources.apk"
link -A "$assets" -o "$out/test.apk"
touch "$out/.made"
