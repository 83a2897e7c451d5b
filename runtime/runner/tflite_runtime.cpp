// Which runtime a .tflite gets: what the library is that is to run it.
#include "tflite_runtime.h"

#include <dlfcn.h>

#include "network.h"

namespace bitsr {
namespace {

#if defined(__ANDROID__)
constexpr char kRuntime[] = "libtensorflowlite_jni.so";
constexpr char kAdvice[] = "the app needs it out of org.tensorflow:tensorflow-lite";
#else
#if defined(__APPLE__)
constexpr char kRuntime[] = "libLiteRt.dylib";
#else
constexpr char kRuntime[] = "libLiteRt.so";
#endif
constexpr char kAdvice[] = "install it (pip install \"bitsr[litert]\") or pass its libLiteRt.so";
#endif

}  // namespace

Outcome open_tflite(Bytes content, const NetworkOptions& options, std::unique_ptr<Network>* network) {
  const std::string path = options.litert_library.empty() ? kRuntime : options.litert_library;
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);  // it stays loaded
  if (library == nullptr) return failed(ErrorKind::unsupported, "LiteRT does not load: %s; %s", dlerror(), kAdvice);
  if (dlsym(library, "LiteRtCreateEnvironment") != nullptr)
    return open_litert(std::move(content), options, library, network);
  if (dlsym(library, "TfLiteInterpreterCreate") != nullptr)
    return open_tflite_interpreter(std::move(content), options, library, network);
  return failed(ErrorKind::unsupported,
                "%s is neither LiteRT nor a TensorFlow Lite with its C API; pass libLiteRt.so or, on Android, "
                "libtensorflowlite_jni.so (--litert)",
                path.c_str());
}

}  // namespace bitsr
