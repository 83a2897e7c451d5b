// The external delegate: load it with load_delegate() of ai_edge_litert or tf.lite, or from the C or Java API.
//
// Options: "kernel" (auto, or the name of an instruction set of bitsr/isa.h), "threads" (0: what the interpreter
// recommends), "verbose" (0, 1).

#include "delegate.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <vector>

#include "../artifact/custom_ops.h"
#include "partition.h"

namespace {

using bitsr::tflite::Partition;
using bitsr::tflite::Settings;

constexpr int kMaxThreads = 256;

struct Delegate {
  TfLiteDelegate base{};
  Settings settings;
  bitsr::ThreadPools pools;
};

// The framework is C: nothing may be thrown into it.
template <typename Body>
TfLiteStatus guarded(TfLiteContext* context, Body body) {
  try {
    return body();
  } catch (const std::exception& error) {
    context->ReportError(context, "bitsr: %s", error.what());
    return kTfLiteError;
  }
}

void* init_partition(TfLiteContext* context, const char* buffer, size_t) {
  const auto* params = reinterpret_cast<const TfLiteDelegateParams*>(buffer);
  auto* delegate = static_cast<Delegate*>(params->delegate->data);
  Partition* made = nullptr;
  guarded(context, [&] {
    made = Partition::create(context, *params, delegate->settings, &delegate->pools).release();
    return kTfLiteOk;
  });
  return made;
}

void free_partition(TfLiteContext*, void* data) { delete static_cast<Partition*>(data); }

TfLiteStatus prepare_partition(TfLiteContext* context, TfLiteNode* node) {
  auto* partition = static_cast<Partition*>(node->user_data);
  if (partition == nullptr) return kTfLiteError;  // init_partition has said why
  return guarded(context, [&] { return partition->prepare(context); });
}

TfLiteStatus invoke_partition(TfLiteContext* context, TfLiteNode* node) {
  auto* partition = static_cast<Partition*>(node->user_data);
  return guarded(context, [&] { return partition->invoke(context); });
}

// Claims our ops and the additions that continue them.
TfLiteStatus claim_nodes(TfLiteContext* context, TfLiteDelegate* delegate) {
  TfLiteIntArray* plan = nullptr;
  if (context->GetExecutionPlan(context, &plan) != kTfLiteOk) return kTfLiteError;
  std::vector<int> claimed(1);  // a TfLiteIntArray: its size, then its numbers
  std::vector<bool> is_ours(context->tensors_size);
  // The plan is overwritten by the next call into the framework that returns one.
  const std::vector<int> nodes(plan->data, plan->data + plan->size);
  for (const int number : nodes) {
    TfLiteNode* node = nullptr;
    TfLiteRegistration* registration = nullptr;
    if (context->GetNodeAndRegistration(context, number, &node, &registration) != kTfLiteOk) return kTfLiteError;
    const bool custom = registration->builtin_code == kTfLiteBuiltinCustom && registration->custom_name != nullptr &&
                        bitsr::tflite::has_our_prefix(registration->custom_name);
    if (!custom && !bitsr::tflite::is_plain_add(context, node, registration, is_ours)) continue;
    claimed.push_back(number);
    for (int i = 0; i < node->outputs->size; ++i) {
      const int tensor = node->outputs->data[i];
      if (tensor >= 0 && static_cast<size_t>(tensor) < is_ours.size()) is_ours[static_cast<size_t>(tensor)] = true;
    }
  }
  claimed[0] = static_cast<int>(claimed.size()) - 1;
  if (static_cast<const Delegate*>(delegate->data)->settings.verbose)
    std::fprintf(stderr, "bitsr: %d of %d nodes claimed\n", claimed[0], int(nodes.size()));
  TfLiteRegistration registration{};
  registration.init = init_partition;
  registration.free = free_partition;
  registration.prepare = prepare_partition;
  registration.invoke = invoke_partition;
  registration.builtin_code = kTfLiteBuiltinDelegate;
  registration.custom_name = "BitsrDelegate";
  registration.version = 1;
  return context->ReplaceNodeSubsetsWithDelegateKernels(
      context, registration, reinterpret_cast<const TfLiteIntArray*>(claimed.data()), delegate);
}

TfLiteStatus claim(TfLiteContext* context, TfLiteDelegate* delegate) {
  return guarded(context, [&] { return claim_nodes(context, delegate); });
}

bool parse_number(const char* text, long largest, long* number) {
  char* end = nullptr;
  errno = 0;
  *number = std::strtol(text, &end, 10);
  return end != text && *end == '\0' && errno == 0 && *number >= 0 && *number <= largest;
}

// What an option must be; empty when all is well.
struct Expected {
  char text[128] = {};
};

Expected set_option(const char* key, const char* value, Settings* settings) {
  Expected expected;
  long number = 0;
  const char* wanted = "";
  if (std::strcmp(key, "kernel") == 0) {
    if (!bitsr::parse_isa(value, &settings->isa) || !bitsr::isa_available(settings->isa))
      std::snprintf(expected.text, sizeof(expected.text), "expected one of auto, %s", bitsr::isa_names().text);
    return expected;
  }
  if (std::strcmp(key, "threads") == 0) {
    if (parse_number(value, kMaxThreads, &number))
      settings->threads = static_cast<int>(number);
    else
      wanted = "expected a number from 0 to 256";
  } else if (std::strcmp(key, "verbose") == 0) {
    if (parse_number(value, 1, &number))
      settings->verbose = number == 1;
    else
      wanted = "expected 0 or 1";
  } else {
    wanted = "there is no such option; expected kernel, threads or verbose";
  }
  std::snprintf(expected.text, sizeof(expected.text), "%s", wanted);
  return expected;
}

}  // namespace

#define BITSR_EXPORT extern "C" __attribute__((visibility("default")))

BITSR_EXPORT TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values,
                                                           size_t count, void (*report_error)(const char*)) {
  auto* delegate = new (std::nothrow) Delegate;
  if (delegate == nullptr) return nullptr;
  for (size_t i = 0; i < count; ++i) {
    const Expected expected = set_option(keys[i], values[i], &delegate->settings);
    if (expected.text[0] == '\0') continue;
    if (report_error != nullptr) {
      char message[256];
      std::snprintf(message, sizeof(message), "bitsr: the option %s is '%s': %s", keys[i], values[i], expected.text);
      report_error(message);
    }
    delete delegate;
    return nullptr;
  }
  delegate->base.data = delegate;
  delegate->base.Prepare = claim;
  // Without it, graphs with dynamic sizes are not offered to a delegate.
  delegate->base.flags = kTfLiteDelegateFlagsAllowDynamicTensors;
  return &delegate->base;
}

BITSR_EXPORT void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate) {
  if (delegate != nullptr) delete static_cast<Delegate*>(delegate->data);
}

BITSR_EXPORT void bitsr_tflite_watch(TfLiteDelegate* delegate, const bitsr::Profiler* profiler,
                                     const bitsr::Observer* observer) {
  Settings& settings = static_cast<Delegate*>(delegate->data)->settings;
  settings.profiler = profiler != nullptr ? *profiler : bitsr::Profiler{};
  settings.observer = observer != nullptr ? *observer : bitsr::Observer{};
}
