"""Makes the APK of the app without an Android SDK: D8, aapt2, zipalign, apksig; checked by apksigner and zipalign.

    python3 apk.py --flavour both --build build/android --output build/android/bitsr-both.apk

Takes from the build folder what `make android` put there: classes (maven/), resources, assets, the native libraries of
each ABI, the tools. The flavour "tflite" leaves ExecuTorch out, with the models that need it.
"""

import argparse
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ABIS = ("arm64-v8a", "x86_64")
TFLITE = ("libbitsr_jni.so", "libbitsr.so", "libbitsr_tflite.so", "libtensorflowlite_jni.so")
EXECUTORCH = ("libbitsr_pte.so", "libbitsr_executorch.so", "libexecutorch_jni.so", "libfbjni.so", "libc++_shared.so")
FLAVOURS = {"tflite": TFLITE, "both": TFLITE + EXECUTORCH}
# Libraries are mapped out of the APK, on devices with pages of up to 16 KB.
PAGE = 16384
MIN_API = 26
PASSWORD = "android"  # of a debug key, as everywhere


class ApkError(Exception):
    """What is missing, or which tool failed."""


def run(*command: object) -> str:
    """The output of a tool."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ApkError(f"{Path(words[0]).name} failed:\n{done.stdout}{done.stderr}\ncommand: {' '.join(words)}")
    return done.stdout


def tool(build: Path, pattern: str) -> Path:
    """A jar that Maven fetched."""
    found = sorted((build / "tools-java").glob(pattern))
    if len(found) != 1:
        raise ApkError(f"expected one {pattern} in {build / 'tools-java'}, found {len(found)}; run: make android")
    return found[0]


def java_home() -> Path:
    """The JDK: android.jar of Robolectric has no java.*, which D8 wants to see."""
    javac = shutil.which("javac")
    if javac is None:
        raise ApkError("there is no javac; install openjdk-17-jdk-headless")
    return Path(javac).resolve().parents[1]


def dex(build: Path, out: Path) -> None:
    """classes.dex of engine and app."""
    classes = out / "classes.jar"
    with zipfile.ZipFile(classes, "w") as jar:
        for module in ("engine", "app"):
            folder = build / "maven" / module / "classes"
            for path in sorted(folder.rglob("*.class")):
                jar.write(path, path.relative_to(folder).as_posix())
    libraries = ("--lib", java_home(), "--lib", tool(build, "android-all-*.jar"))
    command = ("java", "-Xmx1g", "-cp", tool(build, "r8-*.jar"), "com.android.tools.r8.D8", "--release")
    run(*command, "--min-api", MIN_API, *libraries, "--output", out, classes)


def assets(build: Path, flavour: str) -> list[tuple[str, Path]]:
    """Names in the APK and files of the assets."""
    folder, found = build / "assets", []
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or path.name.startswith("."):
            continue
        sidecar = path.suffix == ".json" and path.with_suffix(".pte").exists()
        if flavour == "tflite" and (path.suffix == ".pte" or sidecar or path.name == "result_pte.png"):
            continue
        found.append((f"assets/{path.relative_to(folder).as_posix()}", path))
    if not any(name.startswith("assets/models/") for name, _ in found):
        raise ApkError(f"there are no models in {folder}; write them with: bitsr export MODEL -o {folder} --android")
    return found


def libraries(build: Path, flavour: str) -> list[tuple[str, Path]]:
    """Names in the APK and files of the native libraries."""
    found = [(f"lib/{abi}/{library}", build / abi / library) for abi in ABIS for library in FLAVOURS[flavour]]
    for _, path in found:
        if not path.is_file():
            raise ApkError(f"{path} is missing; build it with: make android-runner")
    return found


def assemble(build: Path, flavour: str, dexes: Path, unsigned: Path) -> None:
    """Resources, code, assets and libraries in one archive; libraries are stored, to be mapped."""
    shutil.copyfile(build / "resources" / "resources.apk", unsigned)
    with zipfile.ZipFile(unsigned, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as apk:
        for path in sorted(dexes.glob("classes*.dex")):
            apk.write(path, path.name)
        for name, path in assets(build, flavour):
            apk.write(path, name)
        for name, path in libraries(build, flavour):
            apk.write(path, name, zipfile.ZIP_STORED)


def key(build: Path) -> Path:
    """A debug key of this build folder."""
    path = build / "debug.p12"
    if not path.exists():
        run(
            *("keytool", "-genkeypair", "-keystore", path, "-storetype", "PKCS12", "-storepass", PASSWORD),
            *("-alias", "debug", "-keyalg", "RSA", "-keysize", 2048, "-validity", 9125, "-dname", "CN=Debug"),
        )
    return path


def check(apk: Path, dexes: Path) -> None:
    """The signature, the alignment, and that the code is there."""
    verified = run("apksigner", "verify", "-v", "--min-sdk-version", MIN_API, apk)
    if "Verified using v2 scheme (APK Signature Scheme v2): true" not in verified:
        raise ApkError(f"{apk} has no signature of scheme 2:\n{verified}")
    run("zipalign", "-c", PAGE, apk)
    described = run("dexdump", dexes / "classes.dex")
    for name in ("org/bitsr/demo/MainActivity", "org/bitsr/engine/Upscaler", "org/bitsr/engine/jni/Native"):
        if not re.search(f"Class descriptor *: 'L{name};'", described):
            raise ApkError(f"the code of {apk} lacks {name}")


def report(apk: Path) -> None:
    """Sizes, as a table."""
    with zipfile.ZipFile(apk) as archive:
        entries = archive.infolist()
    print(f"{apk.name}: {apk.stat().st_size:,} bytes")
    for entry in entries:
        if entry.filename.startswith("lib/"):
            print(f"  {entry.filename}: {entry.file_size:,}")
    for part in ("assets/models/", "assets/golden/", "classes"):
        stored = sum(entry.compress_size for entry in entries if entry.filename.startswith(part))
        print(f"  {part}: {stored:,} compressed")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flavour", choices=sorted(FLAVOURS), required=True)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    work = given.build / "apk" / given.flavour
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    signer = Path(__file__).with_name("Sign.java")
    try:
        libraries(given.build, given.flavour)
        dex(given.build, work)
        assemble(given.build, given.flavour, work, work / "unsigned.apk")
        run("zipalign", "-f", PAGE, work / "unsigned.apk", work / "aligned.apk")
        apksig = tool(given.build, "apksig-*.jar")
        signed = work / "signed.apk"
        run("java", "-cp", apksig, signer, key(given.build), PASSWORD, work / "aligned.apk", signed)
        check(signed, work)
        signed.replace(given.output)
    except ApkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    report(given.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
