"""Make the archives of Android runners that a wheel carries: ``python -m bitsr.validation.targets.pack_android``.

Each has the runner of one ABI and what it opens for a .tflite and a .pte, without folders. The same files give the same
bytes.
"""

import tarfile

from bitsr.common.files import atomic_write
from bitsr.validation.targets.builds import ANDROID_ABIS, PACKAGED_ANDROID, android_build


def main() -> None:
    PACKAGED_ANDROID.mkdir(exist_ok=True)
    for abi in ANDROID_ABIS:
        build = android_build(abi)
        paths = {path for found in build.libraries.values() for path in found} | {build.runner}
        packed = PACKAGED_ANDROID / f"{abi}.tar.xz"
        with atomic_write(packed) as temporary, tarfile.open(temporary, mode="w:xz") as archive:
            for path in sorted(paths):
                facts = tarfile.TarInfo(path.name)
                facts.size, facts.mode = path.stat().st_size, 0o755
                with path.open("rb") as content:
                    archive.addfile(facts, content)


if __name__ == "__main__":
    main()
