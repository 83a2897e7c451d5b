// Computes beside the page, so that it stays alive; to cancel, the page ends this worker and starts another.
import { Engine, StoppedError } from "./engine.js";

const files = new Map();

async function bytesOf(url) {
  if (!files.has(url)) {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${url} can not be loaded (${response.status}); load the page again`);
    files.set(url, new Uint8Array(await response.arrayBuffer()));
  }
  return files.get(url);
}

let engine = null;
let opened = "";

self.onmessage = async ({ data: { model, picture } }) => {
  try {
    engine ??= await Engine.load(await bytesOf("bitsr.wasm"));
    if (opened !== model) {
      engine.open(await bytesOf(model));
      opened = model;
    }
    const started = performance.now();
    const result = engine.upscale(picture, (done, total) => self.postMessage({ done, total }));
    const milliseconds = performance.now() - started;
    self.postMessage({ result, milliseconds, isa: engine.isa }, [result.data.buffer]);
  } catch (error) {
    // What the module does when memory ends it, no call survives.
    const ended = error instanceof WebAssembly.RuntimeError || error instanceof StoppedError;
    if (ended) [engine, opened] = [null, ""];
    self.postMessage({ error: ended ? "out of memory; take a smaller picture" : error.message });
  }
};
