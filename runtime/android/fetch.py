"""Fetch what a build for Android takes: ``fetch.py FOLDER [--maven URL] [--npm URL]``.

TensorFlow Lite's library and what ExecuTorch's needs come from Maven Central, ExecuTorch's library and headers from
npm, the names that Android 6's C library exports from the copy of it in unidbg. All are pinned by their SHA-256. What
is there stays. FOLDER gets ``ABI/lib*.so`` under the names that the libraries call themselves, ``include/``
(ExecuTorch's headers) and ``bionic/lib*.so``.
"""

import argparse
import hashlib
import io
import shutil
import ssl
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import certifi

MAVEN, NPM = "https://repo1.maven.org/maven2", "https://registry.npmjs.org"
ABIS = ("arm64-v8a", "x86_64")
EXECUTORCH_VERSION = "react-native-executorch 0.9.3"
_SECONDS = 120  # without a byte, of a download


@dataclass(frozen=True)
class Package:
    """An archive; ``members`` are files or folders in it (with a slash at the end), and where they go in FOLDER."""

    path: str
    sha256: str
    members: dict[str, str]
    npm: bool = False


PACKAGES = (
    Package(
        "org/tensorflow/tensorflow-lite/2.16.1/tensorflow-lite-2.16.1.aar",
        "34b065817e294e7dd3569504e8b9454938ceae453b6a459da54d5f6e45d3c94e",
        {f"jni/{abi}/libtensorflowlite_jni.so": f"{abi}/libtensorflowlite_jni.so" for abi in ABIS},
    ),
    # libfbjni.so, which ExecuTorch's library is linked with, and the C++ library under it.
    Package(
        "com/facebook/fbjni/fbjni/0.7.0/fbjni-0.7.0.aar",
        "7e319ae110ac5e5ef18904170aea5c3e753e915d196699d7fd39d36c8e1dfe36",
        {f"jni/{abi}/{name}": f"{abi}/{name}" for abi in ABIS for name in ("libfbjni.so", "libc++_shared.so")},
    ),
    Package(
        "react-native-executorch/-/react-native-executorch-0.9.3.tgz",
        "70a20a865b82f47ac46c82711d93c2038cf99eccbb9b287494219063f2217622",
        {
            **{
                f"package/third-party/android/libs/executorch/{abi}/libexecutorch.so": f"{abi}/libexecutorch_jni.so"
                for abi in ABIS
            },
            "package/third-party/include/executorch/": "include/executorch",
            "package/third-party/include/c10/": "include/c10",
            "package/third-party/include/headeronly/": "include/headeronly",
            "package/third-party/include/torch/": "include/torch",
        },
        npm=True,
    ),
    Package(
        "com/github/zhkl0228/unidbg-android/0.9.8/unidbg-android-0.9.8.jar",
        "e2f71ffc5fdec4d4aaed71e7a9a2b06a9a3c7cc86316c573d1ea5bb5da8ab1fd",
        {f"android/sdk23/lib64/lib{name}.so": f"bionic/lib{name}.so" for name in ("c", "m", "dl", "log")},
    ),
)


def download(url: str, sha256: str) -> bytes:
    """The bytes at ``url``; ends the program where it can not be reached or is another file."""
    # The system's certificates, and those of the package certifi: a bare machine has none of its own.
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS, context=context) as answer:
            content: bytes = answer.read()
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        sys.exit(
            f"{url} can not be fetched ({reason}): connect to the network, or name a proxy (HTTPS_PROXY) or a mirror "
            "(MAVEN_CENTRAL, NPM_REGISTRY), and run make again"
        )
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        sys.exit(f"{url} has the SHA-256 {found}, expected {sha256}: it is another file; nothing of it is used")
    return content


def files_of(archive: bytes) -> dict[str, bytes]:
    """The files of a zip or a compressed tar by their names in it."""
    if archive[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            return {name: opened.read(name) for name in opened.namelist() if not name.endswith("/")}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as packed:
        return {
            member.name: file.read()
            for member in packed.getmembers()
            if member.isfile() and (file := packed.extractfile(member)) is not None
        }


def unpack(package: Package, archive: bytes, folder: Path) -> None:
    """Write the members; a member that is missing ends the program."""
    files = files_of(archive)
    for source, target in package.members.items():
        found = [name for name in files if name == source or (source.endswith("/") and name.startswith(source))]
        if not found:
            sys.exit(f"{package.path} has no {source}")
        for name in found:
            place = folder / target / PurePosixPath(name).relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(files[name])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--maven", default=MAVEN)
    parser.add_argument("--npm", default=NPM)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    stamp = folder / ".fetched"
    lines = [EXECUTORCH_VERSION, *(f"{package.sha256} {sorted(package.members.items())}" for package in PACKAGES)]
    wanted = "".join(f"{line}\n" for line in lines)
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    made = folder.with_name(folder.name + ".new")
    shutil.rmtree(made, ignore_errors=True)
    for package in PACKAGES:
        url = f"{arguments.npm if package.npm else arguments.maven}/{package.path}"
        print(f"fetching {url}", file=sys.stderr)
        unpack(package, download(url, package.sha256), made)
    (made / "executorch.version").write_text(f"{EXECUTORCH_VERSION}\n")
    (made / ".fetched").write_text(wanted)
    shutil.rmtree(folder, ignore_errors=True)
    made.rename(folder)


if __name__ == "__main__":
    main()
