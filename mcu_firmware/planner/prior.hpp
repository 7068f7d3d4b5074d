// The policy prior: the action sequence that a plan would probably find, once per plan.
#pragma once

#include <stdint.h>

#include "../kernels/fully_connected_s16.hpp"
#include "../kernels/tanh_q15.hpp"
#include "goal.hpp"

namespace sdiwm {

#if SDIWM_HAS_PRIOR

// z[kLatent] -> actions[horizon][kAction]: the head's sequence, cut, or its last step repeated.
static inline void prior_sequence(const Goal& goal, const int16_t* z, int horizon,
                                  int16_t* actions) {
  using namespace model;
  int16_t seen[kLatent];
  int16_t hidden[kPrior];
  int16_t before[kPlanHorizon * kAction];  // Q12
  for (int i = 0; i < kLatent; ++i) seen[i] = static_cast<int16_t>(to_int8(z[i]) + 128);
  fully_connected_s16<kPrior, kLatent>(seen, prior_input_weight, prior_input_bias,
                                       prior_input_shift, goal.prior_gain, hidden);
  for (int i = 0; i < kPrior; ++i) {
    const int32_t y = saturate16(hidden[i] + goal.prior_shift[i]) >> 4;
    hidden[i] = static_cast<int16_t>(clamp(y, 0, 255));
  }
  fully_connected_s16<kPlanHorizon * kAction, kPrior>(hidden, prior_output_weight,
                                                      prior_output_bias, prior_output_shift,
                                                      prior_output_multiplier, before);
  for (int i = 0; i < horizon * kAction; ++i) {
    if (i < kPlanHorizon * kAction) {
      const int32_t y = tanh_q15(saturate16(2 * before[i]));  // Q12 -> Q13
      actions[i] = static_cast<int16_t>(mulhrs(y, kActionOne));
    } else {
      actions[i] = actions[i - kAction];
    }
  }
}

#else

// Without a prior: at rest.
static inline void prior_sequence(const Goal&, const int16_t*, int horizon, int16_t* actions) {
  for (int i = 0; i < horizon * model::kAction; ++i) actions[i] = 0;
}

#endif

}  // namespace sdiwm
