// The 16-lane float vector as four NEON registers, in the namespace of the instruction set that includes it.
#pragma once

#include <arm_neon.h>

#include <cstdint>
#include <cstring>

namespace bitsr {
namespace BITSR_ISA {

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
  // float(dot_offset - 2 * count)
  static F32 dot(const int32_t* dot_offset, const int32_t* counts) {
    F32 r;
    for (int i = 0; i < 4; ++i)
      r.v[i] = vcvtq_f32_s32(vsubq_s32(vld1q_s32(dot_offset + 4 * i), vshlq_n_s32(vld1q_s32(counts + 4 * i), 1)));
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
inline F32 square_root(const F32& a) {
  F32 r;
  for (int i = 0; i < 4; ++i) r.v[i] = vsqrtq_f32(a.v[i]);
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
// Byte l is a[l] >= b[l] as the bit that it has in its byte of the mask.
inline uint8x16_t greater_equal_bytes(const F32& a, const F32& b) {
  const uint16x8_t low =
      vuzp1q_u16(vreinterpretq_u16_u32(vcgeq_f32(a.v[0], b.v[0])), vreinterpretq_u16_u32(vcgeq_f32(a.v[1], b.v[1])));
  const uint16x8_t high =
      vuzp1q_u16(vreinterpretq_u16_u32(vcgeq_f32(a.v[2], b.v[2])), vreinterpretq_u16_u32(vcgeq_f32(a.v[3], b.v[3])));
  const uint8x16_t all = vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));
  return vandq_u8(all, vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u)));
}
// Bit l is a[l] >= b[l]; NaN gives 0.
inline uint32_t greater_equal_bits(const F32& a, const F32& b) {
  uint8x16_t bytes = greater_equal_bytes(a, b);
  for (int i = 0; i < 3; ++i) bytes = vpaddq_u8(bytes, bytes);
  return vgetq_lane_u16(vreinterpretq_u16_u8(bytes), 0);
}
// The same for 64 lanes.
inline uint64_t greater_equal_word(const F32* a, const F32* b) {
  const uint8x16_t low = vpaddq_u8(greater_equal_bytes(a[0], b[0]), greater_equal_bytes(a[1], b[1]));
  const uint8x16_t high = vpaddq_u8(greater_equal_bytes(a[2], b[2]), greater_equal_bytes(a[3], b[3]));
  const uint8x16_t pairs = vpaddq_u8(low, high);
  return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(pairs, pairs)), 0);
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
  for (int i = 0; i < 4; ++i) s[i] = vaddq_f32(vaddq_f32(v[i].v[0], v[i].v[2]), vaddq_f32(v[i].v[1], v[i].v[3]));
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

// Sixteen int32 sums of products of 16-bit numbers, two at a time.
struct I32 {
  static constexpr int kTile = 4;     // vectors of sums that fit the registers
  static constexpr int kVectors = 1;  // of a tile, in output channels
  int32x4_t v[4];

  using Pair = int16x4_t;
  struct Weights {
    int16x8_t v[4];  // for the first number of a pair, then for the second
  };

  static I32 zero() {
    const int32x4_t q = vdupq_n_s32(0);
    return {{q, q, q, q}};
  }
  // Where the 32 weights of a step have that of output channel `lane` for the first or second number of a pair.
  static constexpr int weight_place(int lane, int second) { return kLanes * second + lane; }
  static Weights load(const int16_t* p) {
    return {{vld1q_s16(p), vld1q_s16(p + 8), vld1q_s16(p + 16), vld1q_s16(p + 24)}};
  }
  static Pair broadcast(const int16_t* pair) {
    int32_t both;
    memcpy(&both, pair, sizeof(both));
    return vreinterpret_s16_s32(vdup_n_s32(both));
  }
  void add_products(Pair pair, const Weights& w) {
    for (int i = 0; i < 2; ++i) {
      v[2 * i] = vmlal_lane_s16(v[2 * i], vget_low_s16(w.v[i]), pair, 0);
      v[2 * i + 1] = vmlal_high_lane_s16(v[2 * i + 1], w.v[i], pair, 0);
    }
    for (int i = 0; i < 2; ++i) {
      v[2 * i] = vmlal_lane_s16(v[2 * i], vget_low_s16(w.v[2 + i]), pair, 1);
      v[2 * i + 1] = vmlal_high_lane_s16(v[2 * i + 1], w.v[2 + i], pair, 1);
    }
  }
  F32 to_float() const {
    F32 r;
    for (int i = 0; i < 4; ++i) r.v[i] = vcvtq_f32_s32(v[i]);
    return r;
  }
};

}  // namespace BITSR_ISA
}  // namespace bitsr
