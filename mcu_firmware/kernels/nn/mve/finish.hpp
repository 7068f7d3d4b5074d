// Sums of consecutive output channels -> their integers, eight at a time.
//
// Even and odd channels are shifted in two vectors of 32 bits, narrowed into the lanes of one of
// 16 bits and multiplied there: with the saturating doubling product, which rounds as `mulhrs`.
#pragma once

#include <arm_mve.h>
#include <stdint.h>

#include "../layer.hpp"

namespace sdiwm {
namespace nn {

constexpr int32_t kSums = 8;  // of one place, in memory side by side

static inline void store_eight(int8_t* out, int16x8_t x, mve_pred16_t lanes) {
  vstrbq_p_s16(out, x, lanes);
}
static inline void store_eight(int16_t* out, int16x8_t x, mve_pred16_t lanes) {
  vstrhq_p_s16(out, x, lanes);
}

// The lower halves of all lanes saturated to the type.
static inline int16x8_t saturate(int16x8_t x, const int8_t*) {
  return vreinterpretq_s16_s8(vqmovnbq_s16(vreinterpretq_s8_s16(x), x));
}
static inline int16x8_t saturate(int16x8_t x, const int16_t*) { return x; }

// What is the same for all places of channels o ... o + 7.
struct Finisher {
  int32x4_t even_shift, odd_shift;
  int16x8_t multiplier;
  int16_t zero;

  Finisher(const Layer& layer, int32_t o) : zero(static_cast<int16_t>(layer.zero)) {
    const int32_t* scale = &layer.scale[o].bias;  // words: bias, shift and multiplier
    const int32x4x2_t first = vld2q_s32(scale), second = vld2q_s32(scale + 8);
    alignas(16) int32_t factors[8];
    vstrwq_s32(factors, first.val[1]);
    vstrwq_s32(factors + 4, second.val[1]);
    const int32x4x2_t factor = vld2q_s32(factors);  // of even, of odd channels
    even_shift = vnegq_s32(vmovlbq_s16(vreinterpretq_s16_s32(factor.val[0])));
    odd_shift = vnegq_s32(vmovlbq_s16(vreinterpretq_s16_s32(factor.val[1])));
    const int32x4_t even = vshrq_n_s32(factor.val[0], 16), odd = vshrq_n_s32(factor.val[1], 16);
    multiplier = vmovntq_s32(vmovnbq_s32(vdupq_n_s16(0), even), odd);
  }

  // sums[8], biases included; not yet clamped.
  int16x8_t operator()(const int32_t* sums) const { return scaled(narrowed(sums)); }

  int16x8_t narrowed(const int32_t* sums) const {
    const int32x4x2_t x = vld2q_s32(sums);
    const int32x4_t even = vshlq_s32(x.val[0], even_shift);
    const int16x8_t y = vqmovnbq_s32(vreinterpretq_s16_s32(even), even);
    return vqmovntq_s32(y, vshlq_s32(x.val[1], odd_shift));
  }

  int16x8_t scaled(int16x8_t x) const { return vqaddq_n_s16(vqrdmulhq_s16(x, multiplier), zero); }
};

static inline int16x8_t clamp_eight(const Layer& layer, int16x8_t y) {
  y = vminq_s16(y, vdupq_n_s16(static_cast<int16_t>(layer.high)));
  return vmaxq_s16(y, vdupq_n_s16(static_cast<int16_t>(layer.low)));
}

// Channels o ... o + n - 1, n <= 8, of some places; `stride` elements from one to the next.
template <class Out>
static __attribute__((noinline)) void finish_places(const Layer& layer, int32_t o, int32_t n,
                                                    const int32_t* sums, int32_t places, Out* out,
                                                    int32_t stride) {
  const Finisher finish(layer, o);
  const mve_pred16_t lanes = vctp16q(static_cast<uint32_t>(n));
  const auto each = [&](auto bounded) {
    for (; places > 1; places -= 2, sums += 2 * kSums, out += 2 * stride) {
      const int16x8_t x = finish.narrowed(sums), y = finish.narrowed(sums + kSums);
      const int16x8_t u = finish.scaled(x), v = finish.scaled(y);
      store_eight(out, bounded(u), lanes);
      store_eight(out + stride, bounded(v), lanes);
    }
    if (places) store_eight(out, bounded(finish(sums)), lanes);
  };
  if (layer.high - layer.low == (1 << (8 * sizeof(Out))) - 1) {
    each([&](int16x8_t y) { return saturate(y, out); });
  } else {
    each([&](int16x8_t y) { return clamp_eight(layer, y); });
  }
}

// sums[place][8] = biases of channels o ... o + 7.
static __attribute__((noinline)) void begin_places(const Layer& layer, int32_t o, int32_t places,
                                                   int32_t* sums) {
  const int32_t* scale = &layer.scale[o].bias;
  const int32x4_t first = vld2q_s32(scale).val[0], second = vld2q_s32(scale + 8).val[0];
  for (; places > 0; --places, sums += kSums) {
    vstrwq_s32(sums, first);
    vstrwq_s32(sums + 4, second);
  }
}

}  // namespace nn
}  // namespace sdiwm
