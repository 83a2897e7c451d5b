// What all functions of the C ABI share: the error of the thread, and checks of what came over the border.
#pragma once

#include "bitsr/capi.h"
#include "outcome.h"

namespace bitsr::capi {

// Keeps the error for bitsr_last_error().
bitsr_status status_of(const Outcome& outcome);

template <typename Body>
bitsr_status call(Body body) {
  return status_of(guarded(body));
}

Outcome require(const void* pointer, const char* what);
// A null name is "auto".
Outcome parse_isa_name(const char* name, Isa* isa);
// The shape as (N, C, H, W), its data of float32 or uint8 dense in the memory; `what` and `number` name the tensor in
// errors.
Outcome check_tensor(const bitsr_tensor& tensor, const char* what, int32_t number, Shape* shape);

}  // namespace bitsr::capi
