// tanh and the logistic function of the product of a requantisation, by one table of 128 segments.
//
// kernels/tanh_q15.hpp takes the absolute value and gives the sign back. Here both halves of the
// axis have segments: with x = 512 segment + f, tanh(x) = (base + slope f) >> 9, where the base of a
// negative segment holds what makes the shift round towards zero, as the definition does.
#pragma once

#include <stdint.h>

#include "../tables.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

struct TanhSegment {
  int32_t base;
  int32_t slope;
};

static TanhSegment tanh_segments[128];

static inline void prepare_tanh() {
  for (int i = 0; i < 64; ++i) {
    const int32_t value = kTanhValue[i], rise = kTanhRise[i];
    tanh_segments[64 + i] = {512 * value + 256, rise};
    tanh_segments[63 - i] = {255 - 512 * (value + rise), rise};
  }
}

// 512 times the tanh of x in Q13, from -32767 on, in Q15.
static inline int32_t tanh_product(int32_t x) {
  const TanhSegment& segment = tanh_segments[64 + (x >> 9)];
  return segment.base + segment.slope * (x & 511);
}

static inline int32_t tanh_fast(int32_t x) { return tanh_product(x) >> 9; }

static inline int32_t sigmoid_fast(int32_t x) { return 16384 + (tanh_product(x) >> 10); }

}  // namespace SDIWM_ISA
}  // namespace sdiwm
