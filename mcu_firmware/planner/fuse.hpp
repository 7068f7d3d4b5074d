// Features and proprioception -> latent: three layers with 16-bit activations.
#pragma once

#include <stdint.h>

#include "../kernels/fully_connected_s16.hpp"
#include "../kernels/tanh_q15.hpp"
#include "model.hpp"

namespace sdiwm {

static inline void relu(int16_t* x, int n) {
  for (int i = 0; i < n; ++i) x[i] = x[i] < 0 ? 0 : x[i];
}

// x[kFusionInput] -> z[kLatent] in Q15.
static inline void fuse(const int16_t* x, int16_t* z) {
  using namespace model;
  int16_t first[kFusion0];
  int16_t second[kFusion1];
  fully_connected_s16<kFusion0, kFusionInput>(x, fusion_0_weight, fusion_0_bias, fusion_0_shift,
                                              fusion_0_multiplier, first);
  relu(first, kFusion0);
  fully_connected_s16<kFusion1, kFusion0>(first, fusion_1_weight, fusion_1_bias, fusion_1_shift,
                                          fusion_1_multiplier, second);
  relu(second, kFusion1);
  fully_connected_s16<kLatent, kFusion1>(second, fusion_2_weight, fusion_2_bias, fusion_2_shift,
                                         fusion_2_multiplier, z);
  for (int i = 0; i < kLatent; ++i) z[i] = static_cast<int16_t>(tanh_q15(z[i]));
}

}  // namespace sdiwm
