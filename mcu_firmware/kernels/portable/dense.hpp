// One row of a fully connected layer for 16 candidates: the loop every other kernel is built on.
#pragma once

#include <stdint.h>

#include "tile.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

constexpr int kLanes = 16;  // few enough for their sums to stay in registers

// sum[kLanes] += sum_k weight[k] * seen[k][first + lane].
template <int K>
static inline void accumulate(const int16_t (*seen)[kTile], int first, const int8_t* weight,
                              int32_t* sum) {
  for (int k = 0; k < K; ++k) {
    const int16_t w = weight[k];
    for (int lane = 0; lane < kLanes; ++lane) {
      sum[lane] += static_cast<int32_t>(w) * seen[k][first + lane];
    }
  }
}

static inline void fill(int32_t bias, int32_t* sum) {
  for (int lane = 0; lane < kLanes; ++lane) sum[lane] = bias;
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
