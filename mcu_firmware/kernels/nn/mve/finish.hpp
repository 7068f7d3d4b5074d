// Sums of consecutive output channels -> their integers, four at a time.
#pragma once

#include <arm_mve.h>
#include <stdint.h>

#include "../layer.hpp"

namespace sdiwm {
namespace nn {

static inline void store_four(int8_t* out, int32x4_t x, mve_pred16_t lanes) {
  vstrbq_p_s32(out, x, lanes);
}
static inline void store_four(int16_t* out, int32x4_t x, mve_pred16_t lanes) {
  vstrhq_p_s32(out, x, lanes);
}

// What is the same for all places of four channels.
struct Finisher {
  int32x4_t bias, shift, multiplier;
  int32_t zero, low, high;

  Finisher(const Layer& layer, int32_t o) : zero(layer.zero), low(layer.low), high(layer.high) {
    const int32x4x2_t scale = vld2q_s32(reinterpret_cast<const int32_t*>(layer.scale + o));
    bias = scale.val[0];
    shift = vnegq_s32(vshrq_n_s32(scale.val[1], 16));
    multiplier = vmovlbq_s16(vreinterpretq_s16_s32(scale.val[1]));
  }

  int32x4_t operator()(int32x4_t sums) const {
    const int32x4_t shifted = vshlq_s32(vaddq_s32(sums, bias), shift);
    const int32x4_t saturated = vmovlbq_s16(vqmovnbq_s32(vdupq_n_s16(0), shifted));
    const int32x4_t y = vaddq_n_s32(vrshrq_n_s32(vmulq_s32(saturated, multiplier), 15), zero);
    return vmaxq_s32(vminq_s32(y, vdupq_n_s32(high)), vdupq_n_s32(low));
  }
};

// Channels o ... o + n - 1, n <= 4, of some places; the strides are elements between places.
template <class Out>
static __attribute__((noinline)) void finish_places(const Layer& layer, int32_t o, int32_t n,
                                                    const int32_t* sums, int32_t sum_stride,
                                                    int32_t places, Out* out, int32_t stride) {
  const Finisher finish(layer, o);
  const mve_pred16_t lanes = vctp32q(static_cast<uint32_t>(n));
  for (; places > 0; --places, sums += sum_stride, out += stride) {
    store_four(out, finish(vldrwq_s32(sums)), lanes);
  }
}

}  // namespace nn
}  // namespace sdiwm
