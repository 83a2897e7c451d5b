// The 16-lane float vector as one AVX-512 register.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace bitsr {
namespace avx512 {

constexpr int kLanes = 16;
using Mask = __mmask16;

struct F32 {
  __m512 v;

  static F32 set(float value) { return {_mm512_set1_ps(value)}; }
  static F32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
  // float(dot_offset - 2 * count)
  static F32 dot(const int32_t* dot_offset, const int32_t* counts) {
    const __m512i count = _mm512_loadu_si512(counts);
    return {_mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_loadu_si512(dot_offset), _mm512_add_epi32(count, count)))};
  }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
};

inline F32 operator+(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F32 operator*(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F32 operator/(F32 a, F32 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F32 square_root(F32 a) { return {_mm512_sqrt_ps(a.v)}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Mask less(F32 a, F32 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ); }
inline F32 select(Mask m, F32 a, F32 b) { return {_mm512_mask_blend_ps(m, b.v, a.v)}; }
// Bit l is a[l] >= b[l]; NaN gives 0.
inline uint32_t greater_equal_bits(F32 a, F32 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ); }
// The same for 64 lanes.
inline uint64_t greater_equal_word(const F32* a, const F32* b) {
  uint64_t word = 0;
  for (int j = 0; j < 4; ++j) word |= static_cast<uint64_t>(greater_equal_bits(a[j], b[j])) << (16 * j);
  return word;
}
inline F32 power_of_two(F32 t) {
  const __m512i bits = _mm512_slli_epi32(_mm512_castps_si512(t.v), 23);
  return {_mm512_castsi512_ps(_mm512_add_epi32(bits, _mm512_set1_epi32(0x3f800000)))};
}
// Each step adds the upper half of every group of lanes to its lower half and packs two vectors into one.
inline F32 tree_sums(const F32* v) {
  __m512 a[8], b[4], c[2];
  for (int i = 0; i < 8; ++i) {  // groups of 16 lanes to 8: a[i] = [v(2i) | v(2i+1)]
    const __m512 x = v[2 * i].v, y = v[2 * i + 1].v;
    a[i] = _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x44), _mm512_shuffle_f32x4(x, y, 0xee));
  }
  for (int i = 0; i < 4; ++i)  // to 4: b[i] = [v(4i) v(4i+1) v(4i+2) v(4i+3)], a quarter each
    b[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a[2 * i], a[2 * i + 1], 0x88),
                         _mm512_shuffle_f32x4(a[2 * i], a[2 * i + 1], 0xdd));
  for (int i = 0; i < 2; ++i)  // to 2: in quarter q: [v(8i+q) v(8i+q) v(8i+4+q) v(8i+4+q)]
    c[i] =
        _mm512_add_ps(_mm512_shuffle_ps(b[2 * i], b[2 * i + 1], 0x44), _mm512_shuffle_ps(b[2 * i], b[2 * i + 1], 0xee));
  // to 1: quarter q holds the sums of v(q), v(4+q), v(8+q), v(12+q)
  const __m512 d = _mm512_add_ps(_mm512_shuffle_ps(c[0], c[1], 0x88), _mm512_shuffle_ps(c[0], c[1], 0xdd));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return {_mm512_permutexvar_ps(order, d)};
}

// Sixteen int32 sums of products of 16-bit numbers, two at a time.
struct I32 {
  static constexpr int kTile = 24;    // vectors of sums that fit the registers
  static constexpr int kVectors = 4;  // of a tile, in output channels
  __m512i v;

  using Pair = __m512i;
  using Weights = __m512i;

  static I32 zero() { return {_mm512_setzero_si512()}; }
  // Where the 32 weights of a step have that of output channel `lane` for the first or second number of a pair.
  static constexpr int weight_place(int lane, int second) { return 2 * lane + second; }
  static Weights load(const int16_t* p) { return _mm512_loadu_si512(p); }
  static Pair broadcast(const int16_t* pair) {
    int32_t both;
    memcpy(&both, pair, sizeof(both));
    return _mm512_set1_epi32(both);
  }
  // In assembly, because GCC 12 keeps the sums of a tile in memory where it is given the intrinsic.
  void add_products(Pair pair, Weights w) { __asm__("vpdpwssd %2, %1, %0" : "+v"(v) : "v"(pair), "v"(w)); }
  F32 to_float() const { return {_mm512_cvtepi32_ps(v)}; }
};

}  // namespace avx512
}  // namespace bitsr
