"""The page in headless Chromium and its engine in Node: the pixels of Python, and a message for what is refused."""

import functools
import http.server
import json
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import bitsr

SITE = Path(__file__).parents[2] / "build" / "web" / "site"
PHOTO = Path(__file__).parents[2] / "assets" / "chelsea.png"
HARNESS = Path(__file__).parent / "harness.html"
CHROMIUM = shutil.which("chromium")
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(not SITE.is_dir(), reason="needs the page: make web")


class _Handler(http.server.SimpleHTTPRequestHandler):
    """The site, the harness that drives it, test files, and what the harness has found."""

    files: Path
    found: "dict[str, bytes]"

    def translate_path(self, path: str) -> str:
        name = path.partition("?")[0].lstrip("/")
        if name == "harness.html":
            self.found["begin"] = b""
            return str(HARNESS)
        if name.startswith("test/"):
            return str(self.files / name.removeprefix("test/"))
        return super().translate_path(path)

    def do_POST(self) -> None:
        self.found[self.path.lstrip("/")] = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    with Image.open(PHOTO) as image:
        return np.asarray(image.convert("RGB").crop((60, 40, 60 + 75, 40 + 50)))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, photo: NDArray[np.uint8]) -> dict[str, bytes]:
    """What the harness has seen of the page, by step."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    folder = tmp_path_factory.mktemp("page")
    Image.fromarray(photo).save(folder / "photo.png")
    (folder / "broken.png").write_bytes((folder / "photo.png").read_bytes()[:60])
    Image.new("RGB", (6000, 3000), "white").save(folder / "huge.png")
    seen: dict[str, bytes] = {}
    handler = type("Handler", (_Handler,), {"files": folder, "found": seen})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(SITE))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = subprocess.Popen(
            [
                CHROMIUM,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                f"--user-data-dir={folder / 'profile'}",
                "--window-size=800,1000",
                f"http://127.0.0.1:{server.server_port}/harness.html",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            for _ in range(2400):
                if "end" in seen:
                    break
                threading.Event().wait(0.1)
        finally:
            browser.terminate()
            browser.wait()
            server.shutdown()
    if not seen:
        pytest.skip("Chromium does not start here")
    assert "end" in seen, f"the page did not end; it came to {list(seen)}"
    assert not seen["end"], seen["end"].decode()
    return seen


def test_the_page_shows_the_pixels_of_python(found: dict[str, bytes], photo: NDArray[np.uint8]) -> None:
    for name in json.loads(found["models"]):
        expected = bitsr.upscale(photo, model=SITE / name)
        pixels = np.frombuffer(found[f"pixels/{name}"], np.uint8).reshape(*expected.shape[:2], 4)
        np.testing.assert_array_equal(pixels[..., :3], expected)
        assert (pixels[..., 3] == 255).all()


def test_the_site_is_small() -> None:
    """A visitor's phone loads all of it, but for the networks that nobody chose."""
    assert sum(file.stat().st_size for file in SITE.iterdir()) < 1.5e6


def test_the_kernels_are_those_of_webassembly(found: dict[str, bytes]) -> None:
    assert b"(wasm)" in found["status"]


def test_the_result_can_be_saved(found: dict[str, bytes]) -> None:
    name, _, content = found["saved"].partition(b"\n")
    assert name == b"photo_x4.png"
    assert content.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("step", "words"),
    [("broken", b"no picture that the browser can read"), ("huge", b"choose a smaller scale or photo")],
)
def test_bad_pictures_get_a_message(step: str, words: bytes, found: dict[str, bytes]) -> None:
    assert words in found[step]


def test_cancel_ends_the_work(found: dict[str, bytes]) -> None:
    assert found["cancelled"].startswith(b"Cancelled")


def test_controls_have_names(found: dict[str, bytes]) -> None:
    assert json.loads(found["unnamed"]) == []


def test_the_engine_refuses_what_is_no_model(tmp_path: Path) -> None:
    if NODE is None:
        pytest.skip("needs Node: apt-get install nodejs")
    script = tmp_path / "refused.mjs"
    script.write_text(
        f"""
        import {{ readFileSync }} from "node:fs";
        import {{ Engine }} from {json.dumps(str(SITE / "engine.js"))};
        const engine = await Engine.load(readFileSync({json.dumps(str(SITE / "bitsr.wasm"))}));
        const good = new Uint8Array(readFileSync({json.dumps(str(SITE / "ebsr_light_plus_fast_x4.tflite"))}));
        const changed = good.slice(); changed[changed.length >> 1] ^= 1;
        const messages = [];
        for (const bytes of [new Uint8Array(0), good.slice(0, 9000), changed]) {{
          try {{ engine.open(bytes); messages.push(""); }} catch (error) {{ messages.push(error.message); }}
        }}
        try {{ engine.upscale({{ data: new Uint8Array(4), width: 1, height: 1 }}); messages.push(""); }}
        catch (error) {{ messages.push(error.message); }}
        engine.open(good);
        const {{ width, height }} = engine.upscale({{ data: new Uint8Array(4), width: 1, height: 1 }});
        console.log(JSON.stringify([messages, width, height]));
        """
    )
    done = subprocess.run([NODE, str(script)], check=True, capture_output=True, text=True)
    (empty, cut, changed, unopened), width, height = json.loads(done.stdout)
    assert "has no metadata" in empty
    assert "has no metadata" in cut or "corrupt" in cut
    assert "corrupt" in changed or "damaged" in changed or "changed" in changed
    assert unopened == "no model is open"
    assert (width, height) == (4, 4)
