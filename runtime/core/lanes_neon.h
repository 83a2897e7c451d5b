// The 16-lane float vector as four NEON registers.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace bitsr {
namespace neon {

constexpr int kLanes = 16;

struct Mask {
  uint32x4_t v[4];
};

struct F32 {
  float32x4_t v[4];

  static F32 set(float value) {
    const float32x4_t q = vdupq_n_f32(value);
    return {{q, q, q, q}};
  }
  static F32 load(const float* p) { return {{vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}}; }
  // float(base - 2 * count)
  static F32 dot(const int32_t* base, const int32_t* counts) {
    F32 r;
    for (int i = 0; i < 4; ++i)
      r.v[i] = vcvtq_f32_s32(vsubq_s32(vld1q_s32(base + 4 * i), vshlq_n_s32(vld1q_s32(counts + 4 * i), 1)));
    return r;
  }
  void store(float* p) const {
    for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, v[i]);
  }
};

inline F32 operator+(const F32& a, const F32& b) {
  F32 r;
  for (int i = 0; i < 4; ++i) r.v[i] = vaddq_f32(a.v[i], b.v[i]);
  return r;
}
inline F32 operator*(const F32& a, const F32& b) {
  F32 r;
  for (int i = 0; i < 4; ++i) r.v[i] = vmulq_f32(a.v[i], b.v[i]);
  return r;
}
inline F32 operator/(const F32& a, const F32& b) {
  F32 r;
  for (int i = 0; i < 4; ++i) r.v[i] = vdivq_f32(a.v[i], b.v[i]);
  return r;
}
inline F32 fma(const F32& a, const F32& b, const F32& c) {
  F32 r;
  for (int i = 0; i < 4; ++i) r.v[i] = vfmaq_f32(c.v[i], a.v[i], b.v[i]);
  return r;
}
inline Mask less(const F32& a, const F32& b) {
  Mask r;
  for (int i = 0; i < 4; ++i) r.v[i] = vcltq_f32(a.v[i], b.v[i]);
  return r;
}
inline F32 select(const Mask& m, const F32& a, const F32& b) {
  F32 r;
  for (int i = 0; i < 4; ++i) r.v[i] = vbslq_f32(m.v[i], a.v[i], b.v[i]);
  return r;
}
inline uint32_t greater_equal_bits(const F32& a, const F32& b) {
  static const uint32_t kWeights[4] = {1, 2, 4, 8};
  const uint32x4_t weights = vld1q_u32(kWeights);
  uint32_t bits = 0;
  for (int i = 0; i < 4; ++i) bits |= vaddvq_u32(vandq_u32(vcgeq_f32(a.v[i], b.v[i]), weights)) << (4 * i);
  return bits;
}
inline F32 power_of_two(const F32& t) {
  F32 r;
  for (int i = 0; i < 4; ++i) {
    const uint32x4_t bits = vshlq_n_u32(vreinterpretq_u32_f32(t.v[i]), 23);
    r.v[i] = vreinterpretq_f32_u32(vaddq_u32(bits, vdupq_n_u32(0x3f800000u)));
  }
  return r;
}
// Four of the sixteen sums: lane i is the tree sum of v[i].
inline float32x4_t tree_sums_of_4(const F32* v) {
  float32x4_t s[4];
  for (int i = 0; i < 4; ++i)
    s[i] = vaddq_f32(vaddq_f32(v[i].v[0], v[i].v[2]), vaddq_f32(v[i].v[1], v[i].v[3]));
  // Transpose: row k then holds lane k of the four vectors.
  const float32x4_t a = vtrn1q_f32(s[0], s[1]), b = vtrn2q_f32(s[0], s[1]);
  const float32x4_t c = vtrn1q_f32(s[2], s[3]), d = vtrn2q_f32(s[2], s[3]);
  const auto pair = [](float32x4_t x, float32x4_t y, bool high) {
    const float64x2_t p = vreinterpretq_f64_f32(x), q = vreinterpretq_f64_f32(y);
    return vreinterpretq_f32_f64(high ? vtrn2q_f64(p, q) : vtrn1q_f64(p, q));
  };
  const float32x4_t row0 = pair(a, c, false), row1 = pair(b, d, false);
  const float32x4_t row2 = pair(a, c, true), row3 = pair(b, d, true);
  return vaddq_f32(vaddq_f32(row0, row2), vaddq_f32(row1, row3));
}
inline F32 tree_sums(const F32* v) {
  F32 r;
  for (int i = 0; i < 4; ++i) r.v[i] = tree_sums_of_4(v + 4 * i);
  return r;
}

}  // namespace neon
}  // namespace bitsr
