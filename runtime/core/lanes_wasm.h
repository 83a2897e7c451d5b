// The 16-lane float vector as four registers of WebAssembly's SIMD.
#pragma once

#include <wasm_simd128.h>

#include <cstdint>
#include <cstring>

namespace bitsr {
namespace wasm {

constexpr int kLanes = 16;

struct Mask {
  v128_t v[4];
};

struct F32 {
  v128_t v[4];

  static F32 set(float value) {
    const v128_t q = wasm_f32x4_splat(value);
    return {{q, q, q, q}};
  }
  static F32 load(const float* p) {
    return {{wasm_v128_load(p), wasm_v128_load(p + 4), wasm_v128_load(p + 8), wasm_v128_load(p + 12)}};
  }
  // float(dot_offset - 2 * count)
  static F32 dot(const int32_t* dot_offset, const int32_t* counts) {
    F32 r;
    for (int i = 0; i < 4; ++i)
      r.v[i] = wasm_f32x4_convert_i32x4(
          wasm_i32x4_sub(wasm_v128_load(dot_offset + 4 * i), wasm_i32x4_shl(wasm_v128_load(counts + 4 * i), 1)));
    return r;
  }
  void store(float* p) const {
    for (int i = 0; i < 4; ++i) wasm_v128_store(p + 4 * i, v[i]);
  }
};

inline F32 operator+(const F32& a, const F32& b) {
  F32 r;
  for (int i = 0; i < 4; ++i) r.v[i] = wasm_f32x4_add(a.v[i], b.v[i]);
  return r;
}
inline F32 operator*(const F32& a, const F32& b) {
  F32 r;
  for (int i = 0; i < 4; ++i) r.v[i] = wasm_f32x4_mul(a.v[i], b.v[i]);
  return r;
}
inline F32 operator/(const F32& a, const F32& b) {
  F32 r;
  for (int i = 0; i < 4; ++i) r.v[i] = wasm_f32x4_div(a.v[i], b.v[i]);
  return r;
}
inline F32 square_root(const F32& a) {
  F32 r;
  for (int i = 0; i < 4; ++i) r.v[i] = wasm_f32x4_sqrt(a.v[i]);
  return r;
}

// a * b + c of two lanes in double, where the product is exact; `risky` is set where rounding that sum to float may not
// be what one rounding of the exact sum is: in the middle between two floats, and below the normal ones.
inline v128_t sum_of_two(v128_t a, v128_t b, v128_t c, v128_t* risky) {
  const v128_t sum = wasm_f64x2_add(wasm_f64x2_mul(wasm_f64x2_promote_low_f32x4(a), wasm_f64x2_promote_low_f32x4(b)),
                                    wasm_f64x2_promote_low_f32x4(c));
  const v128_t middle = wasm_i64x2_eq(wasm_v128_and(sum, wasm_i64x2_splat(0x1fffffff)), wasm_i64x2_splat(0x10000000));
  const v128_t tiny = wasm_f64x2_lt(wasm_f64x2_abs(sum), wasm_f64x2_splat(0x1p-126));
  *risky = wasm_v128_or(*risky, wasm_v128_or(middle, tiny));
  return wasm_f32x4_demote_f64x2_zero(sum);
}
// WebAssembly has no fused multiply-add whose rounding is the same everywhere.
inline v128_t fma_of_four(v128_t a, v128_t b, v128_t c) {
  v128_t risky = wasm_i64x2_splat(0);
  const v128_t low = sum_of_two(a, b, c, &risky);
  const v128_t high = sum_of_two(wasm_i64x2_shuffle(a, a, 1, 1), wasm_i64x2_shuffle(b, b, 1, 1),
                                 wasm_i64x2_shuffle(c, c, 1, 1), &risky);
  const v128_t sums = wasm_i64x2_shuffle(low, high, 0, 2);
  if (__builtin_expect(!wasm_v128_any_true(risky), 1)) return sums;
  float lanes[3][4];
  wasm_v128_store(lanes[0], a);
  wasm_v128_store(lanes[1], b);
  wasm_v128_store(lanes[2], c);
  for (int l = 0; l < 4; ++l) lanes[0][l] = __builtin_fmaf(lanes[0][l], lanes[1][l], lanes[2][l]);
  return wasm_v128_load(lanes[0]);
}
inline F32 fma(const F32& a, const F32& b, const F32& c) {
  F32 r;
  for (int i = 0; i < 4; ++i) r.v[i] = fma_of_four(a.v[i], b.v[i], c.v[i]);
  return r;
}
inline Mask less(const F32& a, const F32& b) {
  Mask r;
  for (int i = 0; i < 4; ++i) r.v[i] = wasm_f32x4_lt(a.v[i], b.v[i]);
  return r;
}
inline F32 select(const Mask& m, const F32& a, const F32& b) {
  F32 r;
  for (int i = 0; i < 4; ++i) r.v[i] = wasm_v128_bitselect(a.v[i], b.v[i], m.v[i]);
  return r;
}
// Bit l is a[l] >= b[l]; NaN gives 0.
inline uint32_t greater_equal_bits(const F32& a, const F32& b) {
  uint32_t bits = 0;
  for (int i = 0; i < 4; ++i)
    bits |= static_cast<uint32_t>(wasm_i32x4_bitmask(wasm_f32x4_ge(a.v[i], b.v[i]))) << (4 * i);
  return bits;
}
// The same for 64 lanes.
inline uint64_t greater_equal_word(const F32* a, const F32* b) {
  uint64_t word = 0;
  for (int j = 0; j < 4; ++j) word |= static_cast<uint64_t>(greater_equal_bits(a[j], b[j])) << (16 * j);
  return word;
}
// 2^n from t = 1.5 * 2^23 + n: the integer n stands in the low bits of t.
inline F32 power_of_two(const F32& t) {
  F32 r;
  for (int i = 0; i < 4; ++i) r.v[i] = wasm_i32x4_add(wasm_i32x4_shl(t.v[i], 23), wasm_i32x4_splat(0x3f800000));
  return r;
}
// Four of the sixteen sums: lane i is the tree sum of v[i].
inline v128_t tree_sums_of_4(const F32* v) {
  v128_t s[4];
  for (int i = 0; i < 4; ++i)
    s[i] = wasm_f32x4_add(wasm_f32x4_add(v[i].v[0], v[i].v[2]), wasm_f32x4_add(v[i].v[1], v[i].v[3]));
  // Transpose: row k then holds lane k of the four vectors.
  const v128_t a = wasm_i32x4_shuffle(s[0], s[1], 0, 4, 2, 6), b = wasm_i32x4_shuffle(s[0], s[1], 1, 5, 3, 7);
  const v128_t c = wasm_i32x4_shuffle(s[2], s[3], 0, 4, 2, 6), d = wasm_i32x4_shuffle(s[2], s[3], 1, 5, 3, 7);
  const v128_t row0 = wasm_i64x2_shuffle(a, c, 0, 2), row1 = wasm_i64x2_shuffle(b, d, 0, 2);
  const v128_t row2 = wasm_i64x2_shuffle(a, c, 1, 3), row3 = wasm_i64x2_shuffle(b, d, 1, 3);
  return wasm_f32x4_add(wasm_f32x4_add(row0, row2), wasm_f32x4_add(row1, row3));
}
inline F32 tree_sums(const F32* v) {
  F32 r;
  for (int i = 0; i < 4; ++i) r.v[i] = tree_sums_of_4(v + 4 * i);
  return r;
}

// Sixteen int32 sums of products of 16-bit numbers, two at a time.
struct I32 {
  static constexpr int kTile = 2;     // vectors of sums that fit the registers
  static constexpr int kVectors = 1;  // of a tile, in output channels
  v128_t v[4];

  using Pair = v128_t;
  struct Weights {
    v128_t v[4];
  };

  static I32 zero() { return {{wasm_i32x4_splat(0), wasm_i32x4_splat(0), wasm_i32x4_splat(0), wasm_i32x4_splat(0)}}; }
  // Where the 32 weights of a step have that of output channel `lane` for the first or second number of a pair.
  static constexpr int weight_place(int lane, int second) { return 2 * lane + second; }
  static Weights load(const int16_t* p) {
    return {{wasm_v128_load(p), wasm_v128_load(p + 8), wasm_v128_load(p + 16), wasm_v128_load(p + 24)}};
  }
  static Pair broadcast(const int16_t* pair) { return wasm_v128_load32_splat(pair); }
  void add_products(Pair pair, const Weights& w) {
    for (int i = 0; i < 4; ++i) v[i] = wasm_i32x4_add(v[i], wasm_i32x4_dot_i16x8(pair, w.v[i]));
  }
  F32 to_float() const {
    F32 r;
    for (int i = 0; i < 4; ++i) r.v[i] = wasm_f32x4_convert_i32x4(v[i]);
    return r;
  }
};

}  // namespace wasm
}  // namespace bitsr
