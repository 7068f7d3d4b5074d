// One row of a fully connected layer for 64 candidates: the loop every other kernel is built on.
#pragma once

#include <stdint.h>

#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

// sum[kTile] += sum_k weight[k] * seen[k][candidate]; four units a round, so that a compiler
// which vectorises over the candidates touches `sum` a quarter as often.
template <int K>
static inline void accumulate(const int16_t (*seen)[kTile], const int8_t* weight,
                              int32_t* __restrict sum) {
  static_assert(K % 4 == 0, "layers are multiples of four wide");
  for (int k = 0; k < K; k += 4) {
    const int16_t w0 = weight[k], w1 = weight[k + 1], w2 = weight[k + 2], w3 = weight[k + 3];
    for (int c = 0; c < kTile; ++c) {
      sum[c] += w0 * seen[k][c] + w1 * seen[k + 1][c] + w2 * seen[k + 2][c] + w3 * seen[k + 3][c];
    }
  }
}

static inline void fill(int32_t bias, int32_t* sum) {
  for (int c = 0; c < kTile; ++c) sum[c] = bias;
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
