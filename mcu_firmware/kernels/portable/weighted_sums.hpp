// Sums of weight * action over all candidates.
#pragma once

#include <stdint.h>

#include "../step_actions.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

// actions[block * stride + t], weights[64 blocks] from 0 to 32767 -> sums[t][action].
static inline void weighted_sums(const StepActions* actions, int stride, const int16_t* weights,
                                 int blocks, int horizon,
                                 int64_t (*sums)[4 * model::kActionGroups]) {
  for (int t = 0; t < horizon; ++t) {
    for (int a = 0; a < 4 * model::kActionGroups; ++a) {
      int64_t total = 0;
      for (int block = 0; block < blocks; ++block) {
        const StepActions& step = actions[block * stride + t];
        int32_t sum = 0;
        for (int c = 0; c < kTile; ++c) {
          sum += static_cast<int32_t>(weights[block * kTile + c]) * step.value[a / 4][c][a % 4];
        }
        total += sum;
      }
      sums[t][a] = total;
    }
  }
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
