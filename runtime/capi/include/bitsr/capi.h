/* bitsr in C: open an artifact (.pte or .tflite), ask what it is, upscale pictures, run and profile tensors.
 *
 * Every call that can fail gives a bitsr_status; bitsr_last_error() then says what was expected, what came, and what to
 * do. Nothing is thrown, printed, or kept of the caller's memory behind a call. Strings are UTF-8 and belong to the
 * library: those of a session live as long as it, the others for ever, but for the error's.
 *
 * Threads. Handles are independent of each other: calls on different ones may run side by side. All calls on one handle
 * may come from any threads at any time; they take turns, and each gives the result of its own arguments. Only the end
 * of a handle (bitsr_close, bitsr_program_destroy) must not meet another call on it. Callbacks run on the calling
 * thread and must not call the handle that called them: that is refused. Opening and closing change nothing
 * process-wide. After fork(), a handle of one thread works in the child, and one of several where no framework runs it;
 * another, or one that was in a call, is refused there.
 *
 * Structures begin with their size, so that later versions can add members at their end: start from the BITSR_..._INIT
 * of this header. A null pointer to options means these.
 */
#ifndef BITSR_CAPI_H
#define BITSR_CAPI_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define BITSR_API __declspec(dllexport)
#else
#define BITSR_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum bitsr_status {
  BITSR_OK = 0,
  BITSR_FILE = 1,        /* a file can not be read */
  BITSR_FORMAT = 2,      /* a file is none of ours, damaged, or newer than this library */
  BITSR_MODEL = 3,       /* the runtime refuses the model */
  BITSR_UNSUPPORTED = 4, /* this build or this machine lacks a runtime, a library or an instruction set */
  BITSR_ARGUMENT = 5,    /* the call does not fit the model */
  BITSR_MEMORY = 6,
  BITSR_RUNTIME = 7,   /* the network failed while it ran */
  BITSR_CANCELLED = 8, /* a callback ended the call */
  BITSR_FRAMEWORK = 9  /* the core alone was asked for, and the network has ops that are not ours */
} bitsr_status;

/* "1.2.3". */
BITSR_API const char* bitsr_version(void);
/* Why the last failing call of this thread failed, until its next call; "" before the first. */
BITSR_API const char* bitsr_last_error(void);
/* The instruction sets with kernels that this processor and build have, the fastest first, separated by commas; and the
 * first of them. */
BITSR_API const char* bitsr_isa_names(void);
BITSR_API const char* bitsr_best_isa(void);

/* ---- Sessions ---- */

typedef struct bitsr_session bitsr_session;

typedef struct bitsr_options {
  size_t size;
  /* 1: the calling thread alone. More: so many threads of its own, but in ExecuTorch those of its pool, which is one
   * for the whole process: see bitsr_set_process_threads. */
  int32_t threads;
  const char* isa; /* one of bitsr_isa_names(), or "auto" */
  /* Paths of libraries that are opened when a framework runs the network; null: beside this library, or where the
   * dynamic linker finds them. LiteRT's libLiteRt.so, or a TensorFlow Lite with its C API (Android:
   * libtensorflowlite_jni.so), and our delegate run a .tflite, libbitsr_pte.so (linked with ExecuTorch) a .pte. */
  const char* litert_library;
  const char* delegate_library;
  const char* pte_library;
  /* "core": this library alone, which takes artifacts that are made of our ops; "framework": that of the format; "auto"
   * or null: the core where it can, otherwise the framework. */
  const char* runtime;
  const char* name; /* of an artifact in memory, for errors; may be null */
} bitsr_options;
#define BITSR_OPTIONS_INIT {sizeof(bitsr_options), 1, "auto", NULL, NULL, NULL, "auto", NULL}

/* The kind is told by the content; a .pte's sidecar is name.json beside name.pte. */
BITSR_API bitsr_status bitsr_open(const char* path, const bitsr_options* options, bitsr_session** session);
/* The content is copied. `metadata` is the text of a .pte's sidecar, or null; a .tflite carries its own. */
BITSR_API bitsr_status bitsr_open_memory(const void* content, size_t bytes, const char* metadata,
                                         const bitsr_options* options, bitsr_session** session);
/* Null is allowed. */
BITSR_API void bitsr_close(bitsr_session* session);

typedef struct bitsr_info {
  size_t size;
  const char* format;          /* "pte" or "tflite" */
  const char* runtime;         /* "core", "executorch", "litert" or "tflite" */
  const char* runtime_version; /* what this library was built for */
  const char* isa;             /* in use */
  const char* metadata;        /* JSON: the model's name and everything else that the export wrote; "" without */
  int64_t artifact_bytes;
  int32_t threads; /* in use */
  int32_t scale;   /* 0, and the members below it too, without metadata */
  int32_t in_channels, out_channels;
  int64_t min_side, multiple;     /* the network's own rules of an input; bitsr_upscale() fills pictures up to them */
  int64_t max_pixels;             /* height * width of an input, 0: no limit is known */
  int64_t receptive_field_radius; /* pixels around a pixel that its result depends on */
  float low, high;                /* the value range of inputs and outputs: black and white */
  int64_t input_shape[4];         /* N, C, H, W of the map; 0 where any side will do */
  int32_t other_inputs;           /* inputs beside the map, such as the timestep of a diffusion step */
  int32_t dtype;                  /* of the map and the output in the file; bitsr_run() takes and gives both */
} bitsr_info;
#define BITSR_INFO_INIT \
  {sizeof(bitsr_info), NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0, 0, 0, 0}, 0, 0}

BITSR_API bitsr_status bitsr_get_info(const bitsr_session* session, bitsr_info* info);

/* Pixels of 8 bits: grey (1 channel), grey and alpha (2), RGB (3) or RGBA (4); alpha is not multiplied in. */
typedef struct bitsr_image {
  uint8_t* data; /* a picture that is read is not changed */
  size_t bytes;  /* of the memory at data */
  int64_t width, height;
  int64_t stride; /* bytes from a row to the next; 0: width * channels */
  int32_t channels;
} bitsr_image;

typedef struct bitsr_upscale_options {
  size_t size;
  /* The network gets at most so many pixels at once, which bounds the memory; 0: 512 * 512. The result is the same
   * for every size where the network looks only at pixels near by (receptive_field_radius). */
  int64_t tile_pixels;
  void* context; /* for the callbacks */
  /* At the start, after each tile and, but in LiteRT, between the network's parts: pixels of the picture that are done,
   * of all. 0 goes on, everything else ends the call with BITSR_CANCELLED. May be null. */
  int (*progress)(void* context, int64_t done, int64_t total);
  /* Where it is set, finished rows of the enlargement come here from top to bottom, `count` at a time, and `output`
   * must be null: memory then holds one row of tiles. Returns as progress does. */
  int (*rows)(void* context, int64_t top, int64_t count, const uint8_t* pixels, int64_t stride);
} bitsr_upscale_options;
#define BITSR_UPSCALE_OPTIONS_INIT {sizeof(bitsr_upscale_options), 0, NULL, NULL, NULL}

/* A picture of any size, tile by tile. The output has scale times its sides and the same channels, and must not overlap
 * it. The pixels are those of `bitsr upscale` for the same artifact: colours are rounded half up, alpha is enlarged by
 * bicubic interpolation, grey is the BT.601 luma of the result. */
BITSR_API bitsr_status bitsr_upscale(bitsr_session* session, const bitsr_image* picture, const bitsr_image* output,
                                     const bitsr_upscale_options* options);

enum { BITSR_FLOAT32 = 1, BITSR_INT64 = 2, BITSR_UINT8 = 3 }; /* dtype */
enum { BITSR_NCHW = 0, BITSR_NHWC = 1 };                      /* layout */

/* A dense tensor of the caller. */
typedef struct bitsr_tensor {
  void* data; /* an input is not changed */
  size_t bytes;
  int32_t dtype;
  int32_t layout;   /* how the data of a map lies */
  int32_t rank;     /* 1 to 4 */
  int64_t shape[4]; /* of a map always N, C, H, W, whatever the layout */
} bitsr_tensor;

/* One call of the network: its map first, then the other inputs in its own order. Map and output are float32 NCHW in
 * the value range, or uint8 of either layout: 0 and 255 are then the ends of the range, and an output is clipped and
 * rounded half up, whatever type the file has. Floats for a network of uint8 are rounded likewise by a framework; the
 * core takes and gives them as they are. `output->rank` and `shape` are set to what was computed, also where `bytes` is
 * not just what it takes, which is an error. */
BITSR_API bitsr_status bitsr_run(bitsr_session* session, const bitsr_tensor* inputs, int32_t count,
                                 bitsr_tensor* output);

/* The shape (N, C, H, W) of the output for a map of this shape, where no framework runs the network: these say it after
 * a run alone, and here BITSR_UNSUPPORTED. */
BITSR_API bitsr_status bitsr_output_shape(bitsr_session* session, const int64_t map[4], int64_t shape[4]);

/* `kind` is "bitsr" for ops of our programs, "delegate" for calls of another delegate as a whole, "operator" for the
 * framework's own. The name is valid during the call. */
typedef void (*bitsr_profile_entry)(void* context, const char* name, const char* kind, double milliseconds);
/* The same, and a time for each op. */
BITSR_API bitsr_status bitsr_profile(bitsr_session* session, const bitsr_tensor* inputs, int32_t count,
                                     bitsr_tensor* output, bitsr_profile_entry entry, void* context);

/* The size of ExecuTorch's pool, the one thing here that all of a process shares: for programs that own their process,
 * before they open a .pte with several threads. Refused while such a session is open; nothing else in the process may
 * use ExecuTorch meanwhile. The library is that of bitsr_options. */
BITSR_API bitsr_status bitsr_set_process_threads(int32_t threads, const char* pte_library);

/* ---- Programs: what one delegate partition executes (docs/formats.md, "Program blob"), for tests and tools ---- */

typedef struct bitsr_program bitsr_program;

/* The blob is checked whole and copied. `isa` as in bitsr_options; null: "auto". It runs on the calling thread. */
BITSR_API bitsr_status bitsr_program_load(const void* blob, size_t bytes, const char* isa, bitsr_program** program);
BITSR_API void bitsr_program_destroy(bitsr_program* program);
BITSR_API int32_t bitsr_program_input_count(const bitsr_program* program);
BITSR_API int32_t bitsr_program_output_count(const bitsr_program* program);
/* The shapes (N, C, H, W) of an input, and of an output, where the first input is (n, ?, height, width). */
BITSR_API bitsr_status bitsr_program_input_shape(const bitsr_program* program, int32_t input, int64_t n, int64_t height,
                                                 int64_t width, int64_t shape[4]);
BITSR_API bitsr_status bitsr_program_output_shape(const bitsr_program* program, int32_t output, int64_t n,
                                                  int64_t height, int64_t width, int64_t shape[4]);
/* All inputs and outputs, float32, or uint8 where the program has pixels; a vector is (N, C) or (N, C, 1, 1). */
BITSR_API bitsr_status bitsr_program_run(bitsr_program* program, const bitsr_tensor* inputs, int32_t input_count,
                                         const bitsr_tensor* outputs, int32_t output_count);

#ifdef __cplusplus
}
#endif

#endif
