// Sum of int16 times int8, for layers that run once: eight products in a VMLADAVA.
#pragma once

#include <stdint.h>

#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

// sum + x[K] . weight[K]
template <int K>
static inline int32_t dot_s16(const int16_t* x, const int8_t* weight, int32_t sum) {
  int k = 0;
  for (; k + 8 <= K; k += 8) {
    sum = vmladavaq_s16(sum, vldrhq_s16(x + k), vldrbq_s16(weight + k));
  }
  for (; k < K; ++k) sum += static_cast<int32_t>(x[k]) * weight[k];
  return sum;
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
