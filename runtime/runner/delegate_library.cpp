#include "delegate_library.h"

#include <dlfcn.h>

#include <cstdio>

namespace bitsr {
namespace {

#if defined(__APPLE__)
constexpr char kDelegate[] = "libbitsr_tflite.dylib";
#else
constexpr char kDelegate[] = "libbitsr_tflite.so";
#endif

thread_local char delegate_error[256];
void keep_error(const char* message) { std::snprintf(delegate_error, sizeof(delegate_error), "%s", message); }

}  // namespace

const char* Delegate::last_error() { return delegate_error; }

void Delegate::clear_error() { delegate_error[0] = '\0'; }

Outcome Delegate::open(const std::string& name, Isa isa, int32_t threads) {
  const std::string path = name.empty() ? kDelegate : name;
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return failed(ErrorKind::unsupported,
                  "the delegate does not load: %s; pass the path of libbitsr_tflite.so (--delegate)", dlerror());
  const auto find = [library](auto& function, const char* symbol) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, symbol));
    return function != nullptr;
  };
  if (!find(create_, "tflite_plugin_create_delegate") || !find(destroy_, "tflite_plugin_destroy_delegate") ||
      !find(watch_, "bitsr_tflite_watch"))
    return failed(ErrorKind::unsupported, "%s is no delegate of this version of bitsr; build it again", path.c_str());
  isa_ = isa;
  threads_ = threads;
  return {};
}

TfLiteDelegate* Delegate::make() {
  char threads[16];
  std::snprintf(threads, sizeof(threads), "%d", threads_);
  const char* keys[] = {"kernel", "threads"};
  const char* values[] = {isa_name(isa_), threads};
  made_ = create_(keys, values, 2, keep_error);
  return made_;
}

void Delegate::op_begins(void* context, int32_t op, const char* name) {
  auto* watch = static_cast<Watch*>(context);
  if (op == 0) ++watch->partition;
  watch->name = name;
  watch->start = Clock::now();
}

void Delegate::op_ends(void* context, int32_t op) {
  auto* watch = static_cast<Watch*>(context);
  const double ms = ms_since(watch->start);
  watch->ours_ms += ms;
  if (watch->hooks->profile == nullptr) return;
  const std::string name = std::to_string(watch->partition) + "/" + std::to_string(op) + " " + watch->name;
  watch->hooks->profile(watch->hooks->context, {name.c_str(), "bitsr", ms});
}

void Delegate::op_result(void* context, int32_t op, int32_t output, const StridedView& result) {
  const auto* watch = static_cast<const Watch*>(context);
  watch->hooks->result(watch->hooks->context, watch->partition, op, watch->name.c_str(), output, result);
}

}  // namespace bitsr
