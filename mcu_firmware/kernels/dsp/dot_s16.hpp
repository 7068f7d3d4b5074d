// Sum of int16 times int8, for layers that run once: four products in two SMLAD.
#pragma once

#include <stdint.h>

#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

static inline int32_t smlad(uint32_t a, uint32_t b, int32_t sum) {
  return __smlad(static_cast<int16x2_t>(a), static_cast<int16x2_t>(b), sum);
}

// sum + x[K] . weight[K]
template <int K>
static inline int32_t dot_s16(const int16_t* x, const int8_t* weight, int32_t sum) {
  constexpr int kFours = K / 4 * 4;
#pragma GCC unroll 4
  for (int k = 0; k < kFours; k += 4) {
    const uint32_t w = word_at(weight + k);
    const uint32_t first = word_at(x + k), second = word_at(x + k + 2);
    const uint32_t even = static_cast<uint32_t>(__sxtb16(static_cast<int8x4_t>(w)));
    const uint32_t odd = static_cast<uint32_t>(__sxtb16(static_cast<int8x4_t>(w >> 8)));
    sum = smlad((first & 0xFFFFu) | second << 16, even, sum);  // PKHBT
    sum = smlad((first >> 16) | (second & 0xFFFF0000u), odd, sum);         // PKHTB
  }
  for (int k = kFours; k < K; ++k) sum += static_cast<int32_t>(x[k]) * weight[k];
  return sum;
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
