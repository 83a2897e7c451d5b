// The 16-lane float vector as two AVX registers (AVX2 and FMA).
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace bitsr {
namespace avx2 {

constexpr int kLanes = 16;

struct Mask {
  __m256 lo, hi;
};

struct F32 {
  __m256 lo, hi;

  static F32 set(float value) { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
  static F32 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static __m256 dot_of_8(const int32_t* dot_offset, const int32_t* counts) {
    const __m256i count = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(counts));
    const __m256i from = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(dot_offset));
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(from, _mm256_add_epi32(count, count)));
  }
  // float(dot_offset - 2 * count)
  static F32 dot(const int32_t* dot_offset, const int32_t* counts) {
    return {dot_of_8(dot_offset, counts), dot_of_8(dot_offset + 8, counts + 8)};
  }
  void store(float* p) const {
    _mm256_storeu_ps(p, lo);
    _mm256_storeu_ps(p + 8, hi);
  }
};

inline F32 operator+(F32 a, F32 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline F32 operator*(F32 a, F32 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline F32 operator/(F32 a, F32 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline F32 square_root(F32 a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)}; }
inline Mask less(F32 a, F32 b) {
  return {_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)};
}
inline F32 select(Mask m, F32 a, F32 b) {
  return {_mm256_blendv_ps(b.lo, a.lo, m.lo), _mm256_blendv_ps(b.hi, a.hi, m.hi)};
}
// Bit l is a[l] >= b[l]; NaN gives 0.
inline uint32_t greater_equal_bits(F32 a, F32 b) {
  const int lo = _mm256_movemask_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_GE_OQ));
  const int hi = _mm256_movemask_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_GE_OQ));
  return static_cast<uint32_t>(lo | hi << 8);
}
// The same for 64 lanes.
inline uint64_t greater_equal_word(const F32* a, const F32* b) {
  uint64_t word = 0;
  for (int j = 0; j < 4; ++j) word |= static_cast<uint64_t>(greater_equal_bits(a[j], b[j])) << (16 * j);
  return word;
}
inline __m256 power_of_two(__m256 t) {
  const __m256i bits = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(bits, _mm256_set1_epi32(0x3f800000)));
}
inline F32 power_of_two(F32 t) { return {power_of_two(t.lo), power_of_two(t.hi)}; }
// Eight of the sixteen sums: lane i is the tree sum of v[i].
inline __m256 tree_sums_of_8(const F32* v) {
  __m256 a[8], b[4], c[2];
  for (int i = 0; i < 8; ++i) a[i] = _mm256_add_ps(v[i].lo, v[i].hi);
  for (int i = 0; i < 4; ++i)  // b[i] = [v(i) | v(i+4)], four lanes each
    b[i] = _mm256_add_ps(_mm256_permute2f128_ps(a[i], a[i + 4], 0x20), _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
  for (int i = 0; i < 2; ++i)
    c[i] =
        _mm256_add_ps(_mm256_shuffle_ps(b[2 * i], b[2 * i + 1], 0x44), _mm256_shuffle_ps(b[2 * i], b[2 * i + 1], 0xee));
  return _mm256_add_ps(_mm256_shuffle_ps(c[0], c[1], 0x88), _mm256_shuffle_ps(c[0], c[1], 0xdd));
}
inline F32 tree_sums(const F32* v) { return {tree_sums_of_8(v), tree_sums_of_8(v + 8)}; }

// Sixteen int32 sums of products of 16-bit numbers, two at a time.
struct I32 {
  static constexpr int kTile = 4;     // vectors of sums that fit the registers
  static constexpr int kVectors = 1;  // of a tile, in output channels
  __m256i lo, hi;

  using Pair = __m256i;
  struct Weights {
    __m256i lo, hi;
  };

  static I32 zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  // Where the 32 weights of a step have that of output channel `lane` for the first or second number of a pair.
  static constexpr int weight_place(int lane, int second) { return 2 * lane + second; }
  static Weights load(const int16_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16))};
  }
  static Pair broadcast(const int16_t* pair) {
    int32_t both;
    memcpy(&both, pair, sizeof(both));
    return _mm256_set1_epi32(both);
  }
  void add_products(Pair pair, const Weights& w) {
    lo = _mm256_add_epi32(lo, _mm256_madd_epi16(pair, w.lo));
    hi = _mm256_add_epi32(hi, _mm256_madd_epi16(pair, w.hi));
  }
  F32 to_float() const { return {_mm256_cvtepi32_ps(lo), _mm256_cvtepi32_ps(hi)}; }
};

}  // namespace avx2
}  // namespace bitsr
