// tanh and the logistic function of an int16, by the same 64-segment table.
#pragma once

#include <stdint.h>

#include "fixed_point.hpp"
#include "tables.hpp"

namespace sdiwm {

// Q13 in, Q15 out; odd; linear between the nodes.
static inline int32_t tanh_q15(int32_t x) {
  const int32_t magnitude = clamp(x < 0 ? -x : x, 0, 32767);
  const int32_t segment = magnitude >> 9;
  const int32_t y =
      kTanhValue[segment] + mulhrs(kTanhRise[segment], (magnitude & 511) * 64);
  return x < 0 ? -y : y;
}

// Q12 in, Q15 out: (1 + tanh(x / 2)) / 2.
static inline int32_t sigmoid_q15(int32_t x) { return 16384 + (tanh_q15(x) >> 1); }

}  // namespace sdiwm
