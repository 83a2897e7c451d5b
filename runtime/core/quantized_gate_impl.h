// The row functions of quantized_spatial_gate, written once; row_kernels_impl.h includes this file in an instruction
// set's namespace. Its sums are integers, so their order is free and the compiler may vectorize them as it likes.
#pragma once

namespace bitsr {
namespace BITSR_ISA {
namespace {

void quantize_row(const QuantizeRow& row) {
  // Adding 1.5 * 2^23 rounds to the nearest integer, which then stands in the low bits of the sum.
  constexpr int32_t kMagicBits = 0x4b400000;
  const F32 magic = F32::set(12582912.0f), factor = F32::set(row.inverse_step);
  const F32 lower = F32::set(-row.negative), upper = F32::set(row.positive);
  for (int64_t i = 0; i < row.count; i += kLanes) {
    F32 v = F32::load(row.x + i) * factor;
    v = select(less(lower, v), v, lower);
    v = select(less(v, upper), v, upper);
    float sums[kLanes];
    (v + magic).store(sums);
    int32_t bits[kLanes];
    memcpy(bits, sums, sizeof(bits));
    for (int l = 0; l < kLanes; ++l) row.out[i + l] = static_cast<int16_t>(bits[l] - kMagicBits);
  }
}

inline int32_t integer_dot(const int16_t* a, const int16_t* b, int32_t count) {
  int32_t sum = 0;
  for (int32_t i = 0; i < count; ++i) sum += static_cast<int32_t>(a[i]) * b[i];
  return sum;
}

void quantized_gate_row(const QuantizedGateRow& row) {
  const int32_t taps = row.kernel * row.stride;  // of one kernel row: they are contiguous in a row of pixels
  const F32 scale = F32::set(row.scale), bias = F32::set(row.bias);
  for (int64_t x0 = 0; x0 < row.width; x0 += kLanes) {
    float dots[kLanes] = {};
    for (int64_t p = 0; p < kLanes && x0 + p < row.width; ++p) {
      int32_t dot = 0;
      for (int32_t k = 0; k < row.kernel; ++k)
        dot += integer_dot(row.x[k] + (x0 + p) * row.stride, row.weights + k * taps, taps);
      dots[p] = static_cast<float>(dot);
    }
    sigmoid_of(fma(F32::load(dots), scale, bias)).store(row.out + x0);
  }
}

}  // namespace
}  // namespace BITSR_ISA
}  // namespace bitsr
