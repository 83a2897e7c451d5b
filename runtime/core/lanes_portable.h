// The 16-lane float vector in plain C++: the reference that the other instruction sets must equal bit for bit.
#pragma once

#include <cstdint>
#include <cstring>

namespace bitsr {
namespace portable {

constexpr int kLanes = 16;

struct Mask {
  bool v[kLanes];
};

struct F32 {
  float v[kLanes];

  static F32 set(float value) {
    F32 r;
    for (int l = 0; l < kLanes; ++l) r.v[l] = value;
    return r;
  }
  static F32 load(const float* p) {
    F32 r;
    memcpy(r.v, p, sizeof(r.v));
    return r;
  }
  // float(dot_offset - 2 * count)
  static F32 dot(const int32_t* dot_offset, const int32_t* counts) {
    F32 r;
    for (int l = 0; l < kLanes; ++l) r.v[l] = static_cast<float>(dot_offset[l] - 2 * counts[l]);
    return r;
  }
  void store(float* p) const { memcpy(p, v, sizeof(v)); }
};

inline F32 operator+(const F32& a, const F32& b) {
  F32 r;
  for (int l = 0; l < kLanes; ++l) r.v[l] = a.v[l] + b.v[l];
  return r;
}
inline F32 operator*(const F32& a, const F32& b) {
  F32 r;
  for (int l = 0; l < kLanes; ++l) r.v[l] = a.v[l] * b.v[l];
  return r;
}
inline F32 operator/(const F32& a, const F32& b) {
  F32 r;
  for (int l = 0; l < kLanes; ++l) r.v[l] = a.v[l] / b.v[l];
  return r;
}
inline F32 square_root(const F32& a) {
  F32 r;
  for (int l = 0; l < kLanes; ++l) r.v[l] = __builtin_sqrtf(a.v[l]);
  return r;
}
inline F32 fma(const F32& a, const F32& b, const F32& c) {
  F32 r;
  for (int l = 0; l < kLanes; ++l) r.v[l] = __builtin_fmaf(a.v[l], b.v[l], c.v[l]);
  return r;
}
inline Mask less(const F32& a, const F32& b) {
  Mask r;
  for (int l = 0; l < kLanes; ++l) r.v[l] = a.v[l] < b.v[l];
  return r;
}
inline F32 select(const Mask& m, const F32& a, const F32& b) {
  F32 r;
  for (int l = 0; l < kLanes; ++l) r.v[l] = m.v[l] ? a.v[l] : b.v[l];
  return r;
}
// Bit l is a[l] >= b[l]; NaN gives 0.
inline uint32_t greater_equal_bits(const F32& a, const F32& b) {
  uint32_t bits = 0;
  for (int l = 0; l < kLanes; ++l) bits |= static_cast<uint32_t>(a.v[l] >= b.v[l]) << l;
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
  for (int l = 0; l < kLanes; ++l) {
    uint32_t bits;
    memcpy(&bits, &t.v[l], 4);
    bits = (bits << 23) + 0x3f800000u;
    memcpy(&r.v[l], &bits, 4);
  }
  return r;
}
// Lane i of the result is the sum of the lanes of v[i], added as the tree l+8, l+4, l+2, l+1.
inline F32 tree_sums(const F32* v) {
  F32 r;
  for (int i = 0; i < kLanes; ++i) {
    float s[kLanes];
    memcpy(s, v[i].v, sizeof(s));
    for (int half = kLanes / 2; half > 0; half /= 2)
      for (int l = 0; l < half; ++l) s[l] = s[l] + s[l + half];
    r.v[i] = s[0];
  }
  return r;
}

// Sixteen int32 sums of products of 16-bit numbers, two at a time.
struct I32 {
  static constexpr int kTile = 2;     // vectors of sums that fit the registers
  static constexpr int kVectors = 1;  // of a tile, in output channels
  int32_t v[kLanes];

  struct Pair {
    int16_t first, second;
  };
  struct Weights {
    int16_t v[2 * kLanes];
  };

  static I32 zero() { return {}; }
  // Where the 32 weights of a step have that of output channel `lane` for the first or second number of a pair.
  static constexpr int weight_place(int lane, int second) { return kLanes * second + lane; }
  static Weights load(const int16_t* p) {
    Weights r;
    memcpy(r.v, p, sizeof(r.v));
    return r;
  }
  static Pair broadcast(const int16_t* pair) { return {pair[0], pair[1]}; }
  void add_products(const Pair& pair, const Weights& w) {
    for (int l = 0; l < kLanes; ++l) v[l] += pair.first * w.v[l] + pair.second * w.v[kLanes + l];
  }
  F32 to_float() const {
    F32 r;
    for (int l = 0; l < kLanes; ++l) r.v[l] = static_cast<float>(v[l]);
    return r;
  }
};

}  // namespace portable
}  // namespace bitsr
