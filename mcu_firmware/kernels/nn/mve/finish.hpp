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

// Sums without bias of channels o ... o + n - 1, n <= 4.
template <class Out>
static inline void finish_four(const Layer& layer, int32_t o, int32_t n, int32x4_t sums, Out* out) {
  const mve_pred16_t lanes = vctp32q(static_cast<uint32_t>(n));
  const int32x4x2_t scale = vld2q_s32(reinterpret_cast<const int32_t*>(layer.scale + o));
  const int32x4_t shift = vshrq_n_s32(scale.val[1], 16);
  const int32x4_t multiplier = vmovlbq_s16(vreinterpretq_s16_s32(scale.val[1]));
  int32x4_t y = vshlq_s32(vaddq_s32(sums, scale.val[0]), vnegq_s32(shift));
  y = vmaxq_s32(vminq_s32(y, vdupq_n_s32(32767)), vdupq_n_s32(-32768));
  y = vrshrq_n_s32(vmulq_s32(y, multiplier), 15);
  y = vaddq_n_s32(y, layer.zero);
  y = vmaxq_s32(vminq_s32(y, vdupq_n_s32(layer.high)), vdupq_n_s32(layer.low));
  store_four(out, y, lanes);
}

}  // namespace nn
}  // namespace sdiwm
