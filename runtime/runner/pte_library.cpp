// Opens a .pte through libbitsr_pte.so.
#include "pte_library.h"

#include <dlfcn.h>

#include <utility>

namespace bitsr {
namespace {

#if defined(__APPLE__)
constexpr char kLibrary[] = "libbitsr_pte.dylib";
#else
constexpr char kLibrary[] = "libbitsr_pte.so";
#endif

}  // namespace

Outcome open_pte(Bytes content, const NetworkOptions& options, std::unique_ptr<Network>* network) {
  // It stays open: ExecuTorch registers kernels and backends when it is loaded, and nothing takes them back.
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return failed(
        ErrorKind::unsupported,
        "%s is a .pte and there is no ExecuTorch to run it: %s; install the package executorch and build with "
        "-DBITSR_EXECUTORCH=ON, or use a .tflite",
        options.path.c_str(), dlerror());
  const auto open = reinterpret_cast<OpenPte>(dlsym(library, kOpenPte));
  if (open == nullptr)
    return failed(ErrorKind::unsupported, "%s is not of this version of bitsr; build it again", kLibrary);
  return open(std::move(content), options, network);
}

}  // namespace bitsr
