// Sums of weight * action over all candidates.
#pragma once

#include <stdint.h>

#include "../step_actions.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

// actions[(block * stride + t) * kTilesPerBlock], weights[64 blocks] from 0 to 32767 -> sums[t][action].
static inline void weighted_sums(const StepActions* actions, int stride, const int16_t* weights,
                                 int blocks, int horizon,
                                 int64_t (*sums)[4 * model::kActionGroups]) {
  for (int t = 0; t < horizon; ++t) {
    for (int a = 0; a < 4 * model::kActionGroups; ++a) {
      int64_t total = 0;
      for (int block = 0; block < blocks; ++block) {
        const StepActions* step = actions + (block * stride + t) * kTilesPerBlock;
        int32_t sum = 0;
        for (int c = 0; c < kBlock; ++c) {
          const int8_t action = step[c / kTile].value[a / 4][c % kTile][a % 4];
          sum += static_cast<int32_t>(weights[block * kBlock + c]) * action;
        }
        total += sum;
      }
      sums[t][a] = total;
    }
  }
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
