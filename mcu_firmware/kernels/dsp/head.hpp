// The cost and value heads of two candidates.
#pragma once

#include <stdint.h>

#include "../../planner/goal.hpp"
#include "dense.hpp"
#include "step.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

// What a goal says of one head.
struct HeadGoal {
  const int16_t* gain;
  const int16_t* shift;
};

// Saturating to int16 before the last shift, as the definition does, would change nothing: what is
// beyond becomes 255 or 0 all the same.
static inline int32_t head_unit(int32_t sum, int32_t shift, int32_t gain, int32_t goal_shift,
                                int32_t half) {
  const int32_t y = (__ssat(sum >> shift, 16) * gain + half) >> 15;
  return static_cast<int32_t>(__usat((y + goal_shift) >> 4, 8));
}

// total += what kCount hidden units of a group of rows contribute.
template <int kCount>
static inline __attribute__((always_inline)) void add_head_rows(const Tile& tile,
                                                                const HeadWeights& head,
                                                                const HeadGoal& goal, int group,
                                                                int32_t half, Sums& total) {
  const int row = kRows * group;
  Sums s[kRows] = {};
#pragma GCC unroll 4
  for (int r = 0; r < kCount; ++r) s[r] = filled(head.row[row + r].bias);
  accumulate<kLatentPairs>(head.weight.pair[group], tile.input, s);
#pragma GCC unroll 4
  for (int r = 0; r < kCount; ++r) {
    const Row& unit = head.row[row + r];
    const int32_t gain = goal.gain[row + r], shift = goal.shift[row + r];
    total.first += head_unit(s[r].first, unit.shift, gain, shift, half) * unit.multiplier;
    total.second += head_unit(s[r].second, unit.shift, gain, shift, half) * unit.multiplier;
  }
}

// total[c] += w . clip((gain * (W z) + shift) >> 4, 0, 255) + bias, for both candidates.
static inline void add_head(const Tile& tile, const HeadWeights& head, const HeadGoal& goal,
                            int32_t out_bias, int32_t* total) {
  constexpr int kGroups = model::kHead / kRows;
  constexpr int kRest = model::kHead % kRows;
  const int32_t half = half_in_register();
  Sums sum{total[0] + out_bias, total[1] + out_bias};
  for (int group = 0; group < kGroups; ++group) {
    add_head_rows<kRows>(tile, head, goal, group, half, sum);
  }
  if (kRest != 0) add_head_rows<kRest>(tile, head, goal, kGroups, half, sum);
  total[0] = sum.first;
  total[1] = sum.second;
}

static inline void add_cost(const Tile& tile, const Goal& goal, int32_t* total) {
  add_head(tile, packed.cost, {goal.cost_gain, goal.cost_shift}, model::cost_output_bias[0], total);
}

static inline void add_value(const Tile& tile, const Goal& goal, int32_t* total) {
  add_head(tile, packed.value, {goal.value_gain, goal.value_shift}, model::value_output_bias[0],
           total);
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
