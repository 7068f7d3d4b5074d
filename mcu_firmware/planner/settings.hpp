// What a plan is told; the mirror of `PlannerIntegers` in sdiwm_model/compression/integer_planner.py.
#pragma once

#include <stdint.h>

namespace sdiwm {

struct PlannerSettings {
  int32_t candidates;
  int32_t horizon;
  int32_t iterations;
  int32_t first_gain;  // Q15: normal table * 256 -> noise state, at the first step
  int32_t gain;        // and at later ones
  int32_t beta;        // Q15
  uint32_t temperature;  // Q16 share of (mean cost - best cost)
  uint32_t temperature_floor;
  int32_t value_multiplier;  // value head -> cost: * multiplier >> shift
  int32_t value_shift;
  int32_t smoothness_multiplier;  // sum of squared differences of int8 actions -> cost
  int32_t smoothness_shift;
  int32_t use_prior;  // 1: the policy prior proposes a plan
  int32_t cold;       // 1: no warm start; the mean starts from the prior's sequence or from zeros
  uint32_t seed;
  uint32_t plan;  // number of the plan: the other half of the noise key
};

}  // namespace sdiwm
