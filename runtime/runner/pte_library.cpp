#include "pte_library.h"

#include <dlfcn.h>

#include <cstring>

namespace bitsr {
namespace {

#if defined(__APPLE__)
constexpr char kLibrary[] = "libbitsr_pte.dylib";
#else
constexpr char kLibrary[] = "libbitsr_pte.so";
#endif
#if defined(__ANDROID__)
constexpr char kAdvice[] = "the app needs libbitsr_pte.so and the libraries of ExecuTorch, or a .tflite";
#else
constexpr char kAdvice[] =
    "install it (pip install \"bitsr[executorch]\"; a build of your own takes -DBITSR_EXECUTORCH=ON), or use a .tflite";
#endif
constexpr char kEntry[] = "bitsr_pte_library";

Outcome find(const std::string& wanted, const PteLibrary** library) {
  const std::string path = wanted.empty() ? kLibrary : wanted;
  void* opened = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  // It stays open: ExecuTorch registers kernels and backends when it is loaded, and nothing takes them back.
  if (opened == nullptr)
    return failed(ErrorKind::unsupported, "there is no ExecuTorch to run a .pte: %s; %s", dlerror(), kAdvice);
  const auto entry = reinterpret_cast<decltype(&bitsr_pte_library)>(dlsym(opened, kEntry));
  if (entry == nullptr || std::strcmp(entry()->version, BITSR_VERSION) != 0)
    return failed(ErrorKind::unsupported, "%s is of bitsr %s, expected %s; use the libraries of one build",
                  path.c_str(), entry == nullptr ? "without a runner" : entry()->version, BITSR_VERSION);
  *library = entry();
  return {};
}

}  // namespace

Outcome open_pte(Bytes content, const NetworkOptions& options, std::unique_ptr<Network>* network) {
  const PteLibrary* library = nullptr;
  BITSR_TRY(find(options.pte_library, &library));
  return library->open(std::move(content), options, network);
}

Outcome set_executorch_threads(int32_t threads, const std::string& pte_library) {
  const PteLibrary* library = nullptr;
  BITSR_TRY(find(pte_library, &library));
  return library->set_threads(threads);
}

}  // namespace bitsr
