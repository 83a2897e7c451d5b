// The page: a photo in, before and after out. All computing is the worker's.

// Of a result: four bytes a pixel, several times over, in a phone's browser.
const MOST_PIXELS = 64e6;

const part = (id) => document.getElementById(id);
const [file, model, status, progress, stage, view] = ["file", "model", "status", "progress", "stage", "view"].map(part);
const [before, after, slider, cancel, save] = ["before", "after", "slider", "cancel", "save"].map(part);

let worker = null;
let photo = null; // { name, picture }
let run = 0; // of the last photo or network that was chosen: what belongs to an older one is not shown

function say(text, failed = false) {
  status.textContent = text;
  status.classList.toggle("failed", failed);
  document.body.dataset.state = failed ? "failed" : document.body.dataset.state;
}

function state(name) {
  document.body.dataset.state = name;
  progress.hidden = cancel.hidden = name !== "busy";
}

function stop() {
  worker?.terminate();
  worker = null;
}

/** @param {Blob} blob */
async function pixelsOf(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    throw new Error("this is no picture that the browser can read; take a JPEG, PNG, WebP or AVIF");
  }
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { colorSpace: "srgb" });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { data: context.getImageData(0, 0, width, height).data, width, height };
}

function draw(canvas, { data, width, height }) {
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
}

/** @param {Blob} blob */
async function choose(blob, name) {
  stop();
  const own = ++run;
  state("reading");
  stage.hidden = save.hidden = true;
  try {
    const picture = await pixelsOf(blob);
    if (own !== run) return;
    photo = { name: name.replace(/\.[^.]*$/, "") || "photo", picture };
  } catch (error) {
    if (own !== run) return;
    photo = null;
    state("idle");
    say(error.message, true);
    return;
  }
  enlarge();
}

function enlarge() {
  if (photo === null) return;
  stop();
  const own = ++run;
  const { picture } = photo;
  const scale = Number(model.selectedOptions[0].dataset.scale);
  const pixels = picture.width * picture.height * scale * scale;
  stage.hidden = save.hidden = true;
  if (pixels > MOST_PIXELS) {
    state("idle");
    const size = `${picture.width * scale}x${picture.height * scale}`;
    say(`the result would have ${size} pixels, this page makes at most ${MOST_PIXELS / 1e6} million; choose a smaller scale or photo`, true);
    return;
  }
  state("busy");
  progress.removeAttribute("value"); // until a part of several is done
  say(`Enlarging ${picture.width}x${picture.height} to ${picture.width * scale}x${picture.height * scale} ...`);
  worker = new Worker("worker.js", { type: "module" });
  worker.onerror = () => {
    state("idle");
    say("the browser can not run this page's module; it needs WebAssembly with SIMD (of 2023 or later)", true);
  };
  worker.onmessage = ({ data }) => {
    if (own !== run) return;
    if (data.error !== undefined) {
      state("idle");
      say(data.error, true);
    } else if (data.result !== undefined) {
      show(data, scale);
    } else {
      if (data.done > 0) progress.value = data.done / data.total;
    }
  };
  worker.postMessage({ model: model.value, picture });
}

function show({ result, milliseconds, isa }, scale) {
  const { picture, name } = photo;
  draw(before, picture);
  draw(after, result);
  stage.hidden = false;
  const own = run;
  after.toBlob((blob) => {
    if (own !== run) return;
    if (blob === null) {
      state("done");
      say("the browser can not write so large a picture; choose a smaller scale", true);
      return;
    }
    URL.revokeObjectURL(save.href);
    save.href = URL.createObjectURL(blob);
    save.download = `${name}_x${scale}.png`;
    save.hidden = false;
    state("done");
    const seconds = milliseconds / 1000;
    const megapixels = (picture.width * picture.height) / 1e6;
    const rate = `${(seconds / megapixels).toFixed(1)} s a megapixel of the photo (${isa})`;
    say(`${result.width}x${result.height} pixels in ${seconds.toFixed(1)} s, ${rate}.`);
  }, "image/png");
}

// The networks first: nothing can be chosen before they are there.
const models = await (await fetch("models.json")).json();
for (const { file: path, label, scale } of models) {
  const option = new Option(label, path);
  option.dataset.scale = scale;
  model.add(option);
}

file.addEventListener("change", () => file.files.length && choose(file.files[0], file.files[0].name));
model.addEventListener("change", enlarge);
cancel.addEventListener("click", () => {
  stop();
  ++run;
  state("idle");
  say("Cancelled. Choose another photo or network.");
});
function split(percent) {
  slider.value = percent;
  view.style.setProperty("--split", `${percent}%`);
}

slider.addEventListener("input", () => split(slider.value));
for (const kind of ["pointerdown", "pointermove"])
  view.addEventListener(kind, (event) => {
    if (event.buttons === 0) return;
    const { left, width } = view.getBoundingClientRect();
    split(Math.min(100, Math.max(0, (100 * (event.clientX - left)) / width)));
  });
part("controls").addEventListener("submit", (event) => event.preventDefault());
for (const kind of ["dragover", "dragleave", "drop"])
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", kind === "dragover");
    const dropped = kind === "drop" ? event.dataTransfer.files[0] : undefined;
    if (dropped) choose(dropped, dropped.name);
  });
document.addEventListener("paste", (event) => {
  const pasted = event.clipboardData.files[0];
  if (pasted) choose(pasted, pasted.name);
});

state("idle");
