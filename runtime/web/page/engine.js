// The kernels in a page or in Node: a bitsr.wasm, one model, pictures of RGBA bytes. Runs on the thread that calls it.

/** A model or picture that is refused: the message says what was expected, what came, and what to do. */
export class EngineError extends Error {}

/** The module ended itself, because memory did; the engine is of no use any more. */
export class StoppedError extends EngineError {}

// What the C++ library asks of a system; a page has no files, and errors come as texts.
const SYSTEM = {
  environ_get: () => 0,
  environ_sizes_get: () => 0,
  fd_close: () => 0,
  fd_seek: () => 0,
  fd_write: () => 0,
  proc_exit: () => {
    throw new StoppedError("the kernels stopped: out of memory; take a smaller picture");
  },
};

export class Engine {
  #exports;
  #progress = () => true;
  #metadata = null;

  /**
   * @param {BufferSource} wasm the bytes of bitsr.wasm
   */
  static async load(wasm) {
    const engine = new Engine();
    const imports = {
      wasi_snapshot_preview1: SYSTEM,
      page: { progress: (done, total) => (engine.#progress(done, total) === false ? 1 : 0) },
    };
    const { instance } = await WebAssembly.instantiate(wasm, imports);
    engine.#exports = instance.exports;
    engine.#exports._initialize();
    return engine;
  }

  /** Name of the kernels in use. */
  get isa() {
    return this.#text(this.#exports.bitsr_web_isa());
  }

  /** What the export wrote into the open model: `scale`, `model`, ...; null where none is open. */
  get metadata() {
    return this.#metadata;
  }

  /**
   * Open a .tflite; the model before it stays where this fails.
   * @param {Uint8Array} content
   */
  open(content) {
    const memory = this.#copy(content);
    try {
      this.#check(this.#exports.bitsr_web_open(memory, content.length));
    } finally {
      this.#exports.bitsr_web_free(memory);
    }
    this.#metadata = JSON.parse(this.#text(this.#exports.bitsr_web_metadata()));
  }

  /**
   * @param {{data: Uint8Array | Uint8ClampedArray, width: number, height: number}} picture RGBA, alpha not multiplied in
   * @param {(done: number, total: number) => boolean | void} progress pixels; `false` ends the call with an error
   * @param {number} tilePixels most pixels of a part that is computed at once; 0 as in Python: 512 x 512
   * @returns {{data: Uint8ClampedArray, width: number, height: number}}
   */
  upscale({ data, width, height }, progress = () => true, tilePixels = 0) {
    if (this.#metadata === null) throw new EngineError("no model is open");
    const { scale } = this.#metadata;
    const bytes = width * height * scale * scale * 4;
    const input = this.#copy(data);
    let output = 0;
    try {
      output = this.#allocate(bytes);
      this.#progress = progress;
      this.#check(this.#exports.bitsr_web_upscale(input, width, height, tilePixels, output, bytes));
      const pixels = new Uint8ClampedArray(this.#exports.memory.buffer, output, bytes).slice();
      return { data: pixels, width: width * scale, height: height * scale };
    } finally {
      this.#exports.bitsr_web_free(input);
      this.#exports.bitsr_web_free(output);
    }
  }

  #allocate(bytes) {
    const memory = this.#exports.bitsr_web_allocate(bytes) >>> 0;
    if (memory === 0) throw new EngineError(`out of memory: ${bytes} bytes; take a smaller picture`);
    return memory;
  }

  #copy(bytes) {
    const memory = this.#allocate(bytes.length);
    new Uint8Array(this.#exports.memory.buffer, memory, bytes.length).set(bytes);
    return memory;
  }

  #check(kind) {
    if (kind !== 0) throw new EngineError(this.#text(this.#exports.bitsr_web_error()));
  }

  #text(pointer) {
    const bytes = new Uint8Array(this.#exports.memory.buffer, pointer >>> 0);
    return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
  }
}
