// Sum of int16 times int8, for layers that run once.
#pragma once

#include <stdint.h>

namespace sdiwm {
inline namespace SDIWM_ISA {

// sum + x[K] . weight[K]
template <int K>
static inline int32_t dot_s16(const int16_t* x, const int8_t* weight, int32_t sum) {
  for (int k = 0; k < K; ++k) sum += static_cast<int32_t>(x[k]) * weight[k];
  return sum;
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
