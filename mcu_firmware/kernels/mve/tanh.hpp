// tanh and the logistic function of eight int16, by gathering from the shared tables.
#pragma once

#include <stdint.h>

#include "../tables.hpp"
#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

// Q13 in, Q15 out; odd; linear between the nodes.
static inline int16x8_t tanh_q15(int16x8_t x) {
  const int16x8_t magnitude = vqabsq_s16(x);
  const uint16x8_t segment = vshrq_n_u16(vreinterpretq_u16_s16(magnitude), 9);
  const int16x8_t fraction = vandq_s16(magnitude, vdupq_n_s16(511));
  const int16x8_t value = vldrhq_gather_shifted_offset_s16(kTanhValue, segment);
  const int16x8_t rise = vldrhq_gather_shifted_offset_s16(kTanhRise, segment);
  const int16x8_t y = vaddq_s16(value, vqrdmulhq_s16(rise, vshlq_n_s16(fraction, 6)));
  return vnegq_m_s16(y, y, vcmpltq_n_s16(x, 0));
}

// Q12 in, Q15 out: (1 + tanh(x / 2)) / 2.
static inline int16x8_t sigmoid_q15(int16x8_t x) {
  return vaddq_n_s16(vshrq_n_s16(tanh_q15(x), 1), 16384);
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
