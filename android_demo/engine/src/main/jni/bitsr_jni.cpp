// The Java side of the C ABI: org.bitsr.engine.jni.Native.
//
// It converts between Java's arrays and bitsr/capi.h and decides nothing. Text crosses the border as bytes of UTF-8,
// because JNI's own strings are of another encoding. A call that fails gives 0 or its status; last_error() of the same
// thread says why, and Java makes the exception of it.
#include <jni.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "bitsr/capi.h"
#include "pixels.h"

namespace {

using bitsr::jni::argb_of;
using bitsr::jni::PackedPicture;

// Java gets finished rows in arrays of about so many pixels, whatever the width of the picture is.
constexpr int64_t kPixelsOfRows = 1 << 18;
// Statuses of this file, beside those of bitsr_status: last_error() says nothing of them.
constexpr jint kNoMemory = 100, kBadArrays = 101;

bitsr_session* session_of(jlong handle) { return reinterpret_cast<bitsr_session*>(handle); }

jbyteArray bytes_of(JNIEnv* env, const char* text) {
  const auto length = static_cast<jsize>(text == nullptr ? 0 : std::strlen(text));
  jbyteArray bytes = env->NewByteArray(length);
  if (bytes != nullptr && length > 0) env->SetByteArrayRegion(bytes, 0, length, reinterpret_cast<const jbyte*>(text));
  return bytes;
}

// Bytes of Java as text that ends with zero; a null array is a null pointer.
class Text {
 public:
  Text(JNIEnv* env, jbyteArray bytes) : present_(bytes != nullptr) {
    if (!present_) return;
    const jsize length = env->GetArrayLength(bytes);
    jbyte* data = env->GetByteArrayElements(bytes, nullptr);
    if (data == nullptr) return;
    text_.assign(reinterpret_cast<const char*>(data), static_cast<size_t>(length));
    env->ReleaseByteArrayElements(bytes, data, JNI_ABORT);
  }
  const char* get() const { return present_ ? text_.c_str() : nullptr; }

 private:
  bool present_;
  std::string text_;
};

// The texts of bitsr_options, in the order of Native.open.
class Options {
 public:
  Options(JNIEnv* env, jint threads, jbyteArray isa, jbyteArray runtime, jbyteArray litert, jbyteArray delegate,
          jbyteArray pte)
      : isa_(env, isa), runtime_(env, runtime), litert_(env, litert), delegate_(env, delegate), pte_(env, pte) {
    options_.threads = threads;
    options_.isa = isa_.get();
    options_.runtime = runtime_.get();
    options_.litert_library = litert_.get();
    options_.delegate_library = delegate_.get();
    options_.pte_library = pte_.get();
  }
  const bitsr_options* get() const { return &options_; }

 private:
  Text isa_, runtime_, litert_, delegate_, pte_;
  bitsr_options options_ = BITSR_OPTIONS_INIT;
};

// Calls of org.bitsr.engine.jni.Listener while a picture is upscaled. An exception that Java throws in one ends the
// work and reaches the caller of Native.upscale.
class Listener {
 public:
  Listener(JNIEnv* env, jobject listener, int64_t width, int32_t channels)
      : env_(env), listener_(listener), width_(width), channels_(channels) {
    jclass type = env->GetObjectClass(listener);
    progress_ = env->GetMethodID(type, "progress", "(JJ)Z");
    rows_ = progress_ == nullptr ? nullptr : env->GetMethodID(type, "rows", "(II[I)Z");
    env->DeleteLocalRef(type);
  }
  bool usable() const { return rows_ != nullptr; }

  static int on_progress(void* context, int64_t done, int64_t total) {
    auto* self = static_cast<Listener*>(context);
    const jboolean on = self->env_->CallBooleanMethod(self->listener_, self->progress_, static_cast<jlong>(done),
                                                      static_cast<jlong>(total));
    return self->goes_on(on);
  }

  static int on_rows(void* context, int64_t top, int64_t count, const uint8_t* pixels, int64_t stride) {
    return static_cast<Listener*>(context)->rows(top, count, pixels, stride);
  }

 private:
  int goes_on(jboolean on) const { return on == JNI_TRUE && env_->ExceptionCheck() == JNI_FALSE ? 0 : 1; }

  int rows(int64_t top, int64_t count, const uint8_t* pixels, int64_t stride) {
    const int64_t most = std::clamp<int64_t>(kPixelsOfRows / width_, 1, count);
    for (int64_t row = 0; row < count; row += most) {
      const int64_t rows = std::min(most, count - row);
      packed_.resize(static_cast<size_t>(rows * width_));
      for (int64_t y = 0; y < rows; ++y)
        argb_of(pixels + (row + y) * stride, channels_, width_, packed_.data() + y * width_);
      jintArray part = env_->NewIntArray(static_cast<jsize>(packed_.size()));
      if (part == nullptr) return 1;
      env_->SetIntArrayRegion(part, 0, static_cast<jsize>(packed_.size()), packed_.data());
      const jboolean on =
          env_->CallBooleanMethod(listener_, rows_, static_cast<jint>(top + row), static_cast<jint>(rows), part);
      env_->DeleteLocalRef(part);
      if (goes_on(on) != 0) return 1;
    }
    return 0;
  }

  JNIEnv* env_;
  jobject listener_;
  int64_t width_;
  int32_t channels_;
  jmethodID progress_ = nullptr, rows_ = nullptr;
  std::vector<jint> packed_;
};

// A tensor of float32 over a copy of Java's values.
struct Floats {
  std::vector<float> values;
  bitsr_tensor tensor = {};

  Floats(JNIEnv* env, jfloatArray array, const int64_t shape[4]) {
    values.resize(static_cast<size_t>(env->GetArrayLength(array)));
    jfloat* data = env->GetFloatArrayElements(array, nullptr);
    if (data == nullptr) throw std::bad_alloc();
    std::copy(data, data + values.size(), values.begin());
    env->ReleaseFloatArrayElements(array, data, JNI_ABORT);
    tensor = {values.data(), values.size() * sizeof(float), BITSR_FLOAT32, BITSR_NCHW, 4, {}};
    std::copy(shape, shape + 4, tensor.shape);
  }
  Floats(const Floats&) = delete;
  Floats& operator=(const Floats&) = delete;
};

// The body of a call; where C++ itself runs out of memory, the call's status says so.
template <typename Body>
jint guarded(Body body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return kNoMemory;
  }
}

double milliseconds(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

}  // namespace

extern "C" {

JNIEXPORT jbyteArray JNICALL Java_org_bitsr_engine_jni_Native_version(JNIEnv* env, jclass) {
  return bytes_of(env, bitsr_version());
}

JNIEXPORT jbyteArray JNICALL Java_org_bitsr_engine_jni_Native_compiler(JNIEnv* env, jclass) {
#if defined(__clang__)
  return bytes_of(env, "clang " __clang_version__);
#else
  return bytes_of(env, "gcc " __VERSION__);
#endif
}

JNIEXPORT jbyteArray JNICALL Java_org_bitsr_engine_jni_Native_isaNames(JNIEnv* env, jclass) {
  return bytes_of(env, bitsr_isa_names());
}

JNIEXPORT jbyteArray JNICALL Java_org_bitsr_engine_jni_Native_lastError(JNIEnv* env, jclass) {
  return bytes_of(env, bitsr_last_error());
}

JNIEXPORT jint JNICALL Java_org_bitsr_engine_jni_Native_open(JNIEnv* env, jclass, jbyteArray path, jint threads,
                                                             jbyteArray isa, jbyteArray runtime, jbyteArray litert,
                                                             jbyteArray delegate, jbyteArray pte, jlongArray handle) {
  return guarded([&]() -> jint {
    const Text file(env, path);
    const Options options(env, threads, isa, runtime, litert, delegate, pte);
    bitsr_session* session = nullptr;
    const bitsr_status status = bitsr_open(file.get(), options.get(), &session);
    const auto value = reinterpret_cast<jlong>(session);
    env->SetLongArrayRegion(handle, 0, 1, &value);
    return status;
  });
}

JNIEXPORT jint JNICALL Java_org_bitsr_engine_jni_Native_openMemory(JNIEnv* env, jclass, jbyteArray content,
                                                                   jbyteArray metadata, jint threads, jbyteArray isa,
                                                                   jbyteArray runtime, jbyteArray litert,
                                                                   jbyteArray delegate, jbyteArray pte,
                                                                   jlongArray handle) {
  return guarded([&]() -> jint {
    const Text sidecar(env, metadata);
    const Options options(env, threads, isa, runtime, litert, delegate, pte);
    jbyte* bytes = env->GetByteArrayElements(content, nullptr);
    if (bytes == nullptr) return kNoMemory;
    bitsr_session* session = nullptr;
    const bitsr_status status = bitsr_open_memory(bytes, static_cast<size_t>(env->GetArrayLength(content)),
                                                  sidecar.get(), options.get(), &session);
    env->ReleaseByteArrayElements(content, bytes, JNI_ABORT);
    const auto value = reinterpret_cast<jlong>(session);
    env->SetLongArrayRegion(handle, 0, 1, &value);
    return status;
  });
}

JNIEXPORT void JNICALL Java_org_bitsr_engine_jni_Native_close(JNIEnv*, jclass, jlong handle) {
  bitsr_close(session_of(handle));
}

// Texts of bitsr_info, by the constants of Native.
JNIEXPORT jbyteArray JNICALL Java_org_bitsr_engine_jni_Native_text(JNIEnv* env, jclass, jlong handle, jint which) {
  bitsr_info info = BITSR_INFO_INIT;
  if (bitsr_get_info(session_of(handle), &info) != BITSR_OK) return nullptr;
  const char* const texts[] = {info.format, info.runtime, info.runtime_version, info.isa, info.metadata};
  if (which < 0 || which >= static_cast<jint>(std::size(texts))) return nullptr;
  return bytes_of(env, texts[which]);
}

// Numbers of bitsr_info, by the constants of Native.
JNIEXPORT jlong JNICALL Java_org_bitsr_engine_jni_Native_number(JNIEnv*, jclass, jlong handle, jint which) {
  bitsr_info info = BITSR_INFO_INIT;
  if (bitsr_get_info(session_of(handle), &info) != BITSR_OK) return 0;
  const int64_t numbers[] = {info.artifact_bytes,         info.threads,        info.scale,          info.in_channels,
                             info.out_channels,           info.min_side,       info.multiple,       info.max_pixels,
                             info.receptive_field_radius, info.input_shape[0], info.input_shape[1], info.input_shape[2],
                             info.input_shape[3],         info.other_inputs};
  return which < 0 || which >= static_cast<jint>(std::size(numbers)) ? 0 : numbers[which];
}

JNIEXPORT jint JNICALL Java_org_bitsr_engine_jni_Native_upscale(JNIEnv* env, jclass, jlong handle, jintArray argb,
                                                                jint width, jint height, jlong tile_pixels,
                                                                jobject listener) {
  return guarded([&]() -> jint {
    PackedPicture picture;
    if (width > 0 && height > 0) {
      if (env->GetArrayLength(argb) / width < height) return kBadArrays;
      // Critical: the pixels are read where Java holds them, without a copy of the whole picture.
      auto* pixels = static_cast<jint*>(env->GetPrimitiveArrayCritical(argb, nullptr));
      if (pixels == nullptr) return kNoMemory;
      try {
        picture.read(pixels, width, height);
      } catch (...) {
        env->ReleasePrimitiveArrayCritical(argb, pixels, JNI_ABORT);
        throw;
      }
      env->ReleasePrimitiveArrayCritical(argb, pixels, JNI_ABORT);
    }
    const bitsr_image image = {picture.bytes.data(), picture.bytes.size(), width, height, 0, picture.channels};
    bitsr_info info = BITSR_INFO_INIT;
    bitsr_status status = bitsr_get_info(session_of(handle), &info);
    if (status != BITSR_OK) return status;
    Listener calls(env, listener, static_cast<int64_t>(width) * std::max(info.scale, 1), picture.channels);
    if (!calls.usable()) return kBadArrays;
    bitsr_upscale_options options = BITSR_UPSCALE_OPTIONS_INIT;
    options.tile_pixels = tile_pixels;
    options.context = &calls;
    options.progress = Listener::on_progress;
    options.rows = Listener::on_rows;
    return bitsr_upscale(session_of(handle), &image, nullptr, &options);
  });
}

// One call of a network that has the map as its only input. `times` gets the milliseconds on the clock and of all the
// process's processors.
JNIEXPORT jint JNICALL Java_org_bitsr_engine_jni_Native_run(JNIEnv* env, jclass, jlong handle, jfloatArray input,
                                                            jint channels, jint height, jint width, jfloatArray output,
                                                            jdoubleArray times) {
  return guarded([&]() -> jint {
    const int64_t shape[4] = {1, channels, height, width};
    const Floats map(env, input, shape);
    std::vector<float> result(static_cast<size_t>(env->GetArrayLength(output)));
    bitsr_tensor to = {result.data(), result.size() * sizeof(float), BITSR_FLOAT32, BITSR_NCHW, 4, {}};
    const double wall = milliseconds(CLOCK_MONOTONIC), busy = milliseconds(CLOCK_PROCESS_CPUTIME_ID);
    const bitsr_status status = bitsr_run(session_of(handle), &map.tensor, 1, &to);
    const double taken[2] = {milliseconds(CLOCK_MONOTONIC) - wall, milliseconds(CLOCK_PROCESS_CPUTIME_ID) - busy};
    if (status != BITSR_OK) return status;
    env->SetFloatArrayRegion(output, 0, static_cast<jsize>(result.size()), result.data());
    if (times != nullptr) env->SetDoubleArrayRegion(times, 0, 2, taken);
    return status;
  });
}

// A program of one op on its golden inputs: all inputs one after another in `inputs`, likewise the results. The shapes
// are 4 numbers each: N, C, H, W.
JNIEXPORT jint JNICALL Java_org_bitsr_engine_jni_Native_replay(JNIEnv* env, jclass, jbyteArray blob, jbyteArray isa,
                                                               jfloatArray inputs, jintArray input_shapes,
                                                               jfloatArray outputs, jintArray output_shapes) {
  return guarded([&]() -> jint {
    const Text name(env, isa);
    jbyte* bytes = env->GetByteArrayElements(blob, nullptr);
    if (bytes == nullptr) return kNoMemory;
    bitsr_program* program = nullptr;
    bitsr_status status =
        bitsr_program_load(bytes, static_cast<size_t>(env->GetArrayLength(blob)), name.get(), &program);
    env->ReleaseByteArrayElements(blob, bytes, JNI_ABORT);
    if (status != BITSR_OK) return status;

    const auto tensors = [env](jintArray shapes, float* values, size_t count, std::vector<bitsr_tensor>* made) {
      jint* sides = env->GetIntArrayElements(shapes, nullptr);
      if (sides == nullptr) return false;
      size_t at = 0;
      bool fits = true;
      for (jsize i = 0; fits && i + 4 <= env->GetArrayLength(shapes); i += 4) {
        bitsr_tensor tensor = {values + at, sizeof(float), BITSR_FLOAT32, BITSR_NCHW, 4, {}};
        for (int side = 0; side < 4; ++side) {
          tensor.shape[side] = sides[i + side];
          fits = fits && !__builtin_mul_overflow(tensor.bytes, static_cast<size_t>(sides[i + side]), &tensor.bytes);
        }
        at += tensor.bytes / sizeof(float);
        fits = fits && at <= count;
        made->push_back(tensor);
      }
      env->ReleaseIntArrayElements(shapes, sides, JNI_ABORT);
      return fits && at == count;
    };
    const int64_t flat[4] = {1, 1, 1, env->GetArrayLength(inputs)};
    Floats from(env, inputs, flat);
    std::vector<float> results(static_cast<size_t>(env->GetArrayLength(outputs)));
    std::vector<bitsr_tensor> in, out;
    if (!tensors(input_shapes, from.values.data(), from.values.size(), &in) ||
        !tensors(output_shapes, results.data(), results.size(), &out)) {
      bitsr_program_destroy(program);
      return kBadArrays;
    }
    status = bitsr_program_run(program, in.data(), static_cast<int32_t>(in.size()), out.data(),
                               static_cast<int32_t>(out.size()));
    bitsr_program_destroy(program);
    if (status == BITSR_OK) env->SetFloatArrayRegion(outputs, 0, static_cast<jsize>(results.size()), results.data());
    return status;
  });
}

// Of ExecuTorch's pool, which the whole process shares; see bitsr_set_process_threads.
JNIEXPORT jint JNICALL Java_org_bitsr_engine_jni_Native_setProcessThreads(JNIEnv* env, jclass, jint threads,
                                                                          jbyteArray pte) {
  const Text library(env, pte);
  return bitsr_set_process_threads(threads, library.get());
}

// The most memory that the process ever held, in bytes.
JNIEXPORT jlong JNICALL Java_org_bitsr_engine_jni_Native_peakBytes(JNIEnv*, jclass) {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<jlong>(usage.ru_maxrss) * 1024;
}

}  // extern "C"
