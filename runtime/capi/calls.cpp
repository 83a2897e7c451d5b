#include "calls.h"

#include <cstdio>
#include <initializer_list>

namespace bitsr::capi {
namespace {

thread_local char last_error[sizeof(Outcome::message)];

#define BITSR_SAME(kind, status) static_assert(static_cast<int>(ErrorKind::kind) == status, #kind)
BITSR_SAME(none, BITSR_OK);
BITSR_SAME(file, BITSR_FILE);
BITSR_SAME(format, BITSR_FORMAT);
BITSR_SAME(model, BITSR_MODEL);
BITSR_SAME(unsupported, BITSR_UNSUPPORTED);
BITSR_SAME(argument, BITSR_ARGUMENT);
BITSR_SAME(memory, BITSR_MEMORY);
BITSR_SAME(runtime, BITSR_RUNTIME);
BITSR_SAME(cancelled, BITSR_CANCELLED);
BITSR_SAME(framework, BITSR_FRAMEWORK);
#undef BITSR_SAME

}  // namespace

bitsr_status status_of(const Outcome& outcome) {
  if (!outcome.ok()) std::snprintf(last_error, sizeof(last_error), "%s", outcome.message);
  return static_cast<bitsr_status>(outcome.kind);
}

Outcome require(const void* pointer, const char* what) {
  if (pointer != nullptr) return {};
  return failed(ErrorKind::argument, "%s is null", what);
}

Outcome parse_isa_name(const char* name, Isa* isa) {
  if (name == nullptr || parse_isa(name, isa)) return {};
  return failed(ErrorKind::argument, "the instruction set is '%s', expected one of auto, %s", name, isa_names().text);
}

Outcome check_tensor(const bitsr_tensor& tensor, const char* what, int32_t number, Shape* shape) {
  if (tensor.dtype != BITSR_FLOAT32 && tensor.dtype != BITSR_UINT8)
    return failed(ErrorKind::argument, "%s %d has dtype %d, expected %d (float32) or %d (uint8)", what, number,
                  tensor.dtype, BITSR_FLOAT32, BITSR_UINT8);
  if (tensor.layout != BITSR_NCHW && tensor.layout != BITSR_NHWC)
    return failed(ErrorKind::argument, "%s %d has layout %d, expected %d (NCHW) or %d (NHWC)", what, number,
                  tensor.layout, BITSR_NCHW, BITSR_NHWC);
  if (tensor.rank != 2 && tensor.rank != 4)
    return failed(ErrorKind::argument, "%s %d has %d dimensions, expected 4 (N, C, H, W) or 2 (N, C)", what, number,
                  tensor.rank);
  const bool map = tensor.rank == 4;
  *shape = {tensor.shape[0], tensor.shape[1], map ? tensor.shape[2] : 1, map ? tensor.shape[3] : 1};
  int64_t bytes = tensor.dtype == BITSR_UINT8 ? sizeof(uint8_t) : sizeof(float);
  for (const int64_t side : {shape->n, shape->c, shape->h, shape->w})
    if (side < 1 || __builtin_mul_overflow(bytes, side, &bytes))
      return failed(ErrorKind::argument, "%s %d has the shape %lldx%lldx%lldx%lld, expected positive sides", what,
                    number, static_cast<long long>(shape->n), static_cast<long long>(shape->c),
                    static_cast<long long>(shape->h), static_cast<long long>(shape->w));
  if (tensor.data == nullptr || tensor.bytes != static_cast<size_t>(bytes))
    return failed(ErrorKind::argument, "%s %d of %lldx%lldx%lldx%lld takes %lld bytes, got memory for %zu%s", what,
                  number, static_cast<long long>(shape->n), static_cast<long long>(shape->c),
                  static_cast<long long>(shape->h), static_cast<long long>(shape->w), static_cast<long long>(bytes),
                  tensor.bytes, tensor.data == nullptr ? " at null" : "");
  return {};
}

}  // namespace bitsr::capi

const char* bitsr_version(void) { return BITSR_VERSION; }

const char* bitsr_last_error(void) { return bitsr::capi::last_error; }
