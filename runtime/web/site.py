"""The static site: the page, bitsr.wasm and the networks that it offers. ``python runtime/web/site.py --help``."""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

from bitsr.artifact.artifact import read_artifact

PAGE = Path(__file__).parent / "page"
# Offered by the page, the first one without being asked; what each is good for.
OFFERED = {
    "ebsr_light_plus_fast_x4": "x4",
    "ebsr_light_plus_fast_photo_x4": "x4, photo saved as JPEG",
    "ebsr_light_plus_fast_x2": "x2",
    "ebsr_light_plus_fast_photo_x2": "x2, photo saved as JPEG",
    "ebsr_light_plus_fast_x3": "x3",
    "ebsr_light_plus_x4": "x4, best and slowest",
}


def make_site(output: Path, *, wasm: Path, artifacts: Path) -> None:
    """Write the site; ``artifacts`` has the .tflite of the offered networks. An older site is replaced whole.

    Raises:
        ArtifactError: one is missing or damaged.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".site-") as temporary:
        site = Path(temporary) / "site"
        shutil.copytree(PAGE, site)
        shutil.copy(wasm, site / "bitsr.wasm")
        listed = []
        for name, label in OFFERED.items():
            source = artifacts / f"{name}.tflite"
            info = read_artifact(source)
            shutil.copy(source, site / source.name)
            listed.append({"file": source.name, "label": label, "scale": info.scale})
        (site / "models.json").write_text(json.dumps(listed, indent=1) + "\n")
        if output.exists():
            shutil.rmtree(output)
        os.rename(site, output)
    total = sum(file.stat().st_size for file in output.iterdir())
    print(f"{output}: {total / 1e6:.2f} MB; try it: python -m http.server -d {output}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--wasm", type=Path, required=True)
    parser.add_argument("--artifacts", type=Path, required=True)
    arguments = parser.parse_args()
    make_site(arguments.output, wasm=arguments.wasm, artifacts=arguments.artifacts)
