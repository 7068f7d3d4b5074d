// Which integers the planner may be given: what keeps every sum and index inside its type.
#pragma once

#include <stdint.h>

#include "../planner/goal.hpp"
#include "../planner/settings.hpp"

namespace sdiwm {

constexpr int32_t kMaxIterations = 16;
constexpr int32_t kLargestBias = 1 << 30;  // leaves room for all products of a row
constexpr int32_t kMaxShift = 40;

// Index of the first value beyond +-limit, or -1.
static inline int beyond(const int16_t* values, int count, int32_t limit) {
  for (int i = 0; i < count; ++i) {
    if (values[i] > limit || values[i] < -limit) return i;
  }
  return -1;
}

static inline bool within(int64_t x, int64_t low, int64_t high) { return x >= low && x <= high; }

// Number of the first setting, in the order of the structure, that is out of its range, or -1.
static inline int setting_out_of_range(const PlannerSettings& s) {
  const bool good[] = {
      within(s.candidates, s.use_prior != 0 ? 3 : 2, model::kMaxCandidates),
      within(s.horizon, 1, model::kMaxHorizon),
      within(s.iterations, 1, kMaxIterations),
      within(s.first_gain, 0, 32767),
      within(s.gain, 0, 32767),
      within(s.beta, 0, 32767),
      within(s.temperature, 0, 16 << 16),
      within(s.temperature_floor, 1, 1 << 28),
      within(s.value_multiplier, 0, 32767),
      within(s.value_shift, 0, kMaxShift),
      within(s.smoothness_multiplier, 0, 32767),
      within(s.smoothness_shift, 0, kMaxShift),
      within(s.use_prior, 0, model::kPrior > 0 ? 1 : 0),
      within(s.cold, 0, 1),
  };
  for (int i = 0; i < static_cast<int>(sizeof good / sizeof good[0]); ++i) {
    if (!good[i]) return i;
  }
  return -1;
}

// Number of the first bad integer, counted over all arrays in their order, or -1.
static inline int goal_out_of_range(const Goal& goal) {
  for (int i = 0; i < model::kHidden; ++i) {
    if (!within(goal.input_bias[i], -kLargestBias, kLargestBias)) return i;
  }
  for (int i = 0; i < model::kHead; ++i) {
    if (goal.cost_gain[i] < 0) return model::kHidden + i;
    if (goal.value_gain[i] < 0) return model::kHidden + 2 * model::kHead + i;
  }
#if SDIWM_HAS_PRIOR
  for (int i = 0; i < model::kPrior; ++i) {
    if (goal.prior_gain[i] < 0) return model::kHidden + 4 * model::kHead + i;
  }
#endif
  return -1;
}

}  // namespace sdiwm
