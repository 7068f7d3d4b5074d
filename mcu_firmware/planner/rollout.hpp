// Rolling out given actions, and the heads at given latents.
#pragma once

#include <stdint.h>
#include <string.h>

#include "../kernels/isa.hpp"
#include "goal.hpp"
#include "settings.hpp"

namespace sdiwm {
inline namespace SDIWM_ISA {

constexpr int64_t kCostLimit = 1 << 28;

// x * multiplier / 2^shift, half rounded up, saturated.
static inline int32_t scaled(int64_t x, int32_t multiplier, int32_t shift) {
  const int64_t half = (static_cast<int64_t>(1) << shift) >> 1;
  const int64_t y = (x * multiplier + half) >> shift;
  return static_cast<int32_t>(y < -kCostLimit ? -kCostLimit : (y > kCostLimit ? kCostLimit : y));
}

// Actions [n][horizon][kAction] of one step -> the tile's layout; lanes from n on are zero.
static inline void pack_actions(const int8_t* actions, int n, int horizon, int step,
                                StepActions& packed) {
  using namespace model;
  for (int group = 0; group < kActionGroups; ++group) {
    const int used = kAction - 4 * group < 4 ? kAction - 4 * group : 4;
    for (int c = 0; c < kTile; ++c) {
      int8_t four[4] = {};
      if (c < n) {
        const int8_t* from = actions + (c * horizon + step) * kAction + 4 * group;
        memcpy(four, from, static_cast<size_t>(used));
      }
      memcpy(packed.value[group][c], four, sizeof four);
    }
  }
}

// Sum of squared differences of successive actions of candidate c, in (127 a)^2; the actions of
// step t are steps[t * stride].
static inline int64_t roughness(const StepActions* steps, int stride, int horizon, int c) {
  int64_t sum = 0;
  for (int t = 1; t < horizon; ++t) {
    for (int a = 0; a < model::kAction; ++a) {
      const int32_t now = steps[t * stride].value[a / 4][c][a % 4];
      const int32_t move = now - steps[(t - 1) * stride].value[a / 4][c][a % 4];
      sum += move * move;
    }
  }
  return sum;
}

// Adds the terminal value and the smoothness cost to the running costs of a tile.
static inline void finish_costs(Tile& tile, const Goal& goal, const PlannerSettings& s,
                                const StepActions* steps, int stride, int horizon,
                                int32_t* costs) {
  alignas(64) int32_t value[kTile] = {};
  if (s.value_multiplier != 0) add_value(tile, goal, value);
  for (int c = 0; c < kTile; ++c) {
    costs[c] += scaled(value[c], s.value_multiplier, s.value_shift);
    if (s.smoothness_multiplier != 0) {
      costs[c] += scaled(roughness(steps, stride, horizon, c), s.smoothness_multiplier,
                         s.smoothness_shift);
    }
  }
}

// z[n][kLatent], actions[n][horizon][kAction], n <= kTile -> latents[n][horizon][kLatent].
static inline void rollout(const Goal& goal, const int16_t* z, const int8_t* actions, int n,
                           int horizon, Tile& tile, int16_t* latents) {
  load_latents(tile, z, n);
  StepActions packed;
  for (int t = 0; t < horizon; ++t) {
    pack_actions(actions, n, horizon, t, packed);
    step(tile, goal, packed);
    store_latents(tile, n, horizon * model::kLatent, latents + t * model::kLatent);
  }
}

// z[kLatent], actions[n][horizon][kAction], n <= kTile -> costs[n]; `steps` is scratch.
static inline void rollout_cost(const Goal& goal, const PlannerSettings& s, const int16_t* z,
                                const int8_t* actions, int n, StepActions* steps, Tile& tile,
                                int32_t* costs) {
  alignas(64) int32_t total[kTile] = {};
  spread_latent(tile, z);
  for (int t = 0; t < s.horizon; ++t) {
    pack_actions(actions, n, s.horizon, t, steps[t]);
    step(tile, goal, steps[t]);
    add_cost(tile, goal, total);
  }
  finish_costs(tile, goal, s, steps, 1, s.horizon, total);
  for (int c = 0; c < n; ++c) costs[c] = total[c];
}

// z[n][kLatent], n <= kTile -> cost[n] and value[n].
static inline void heads(const Goal& goal, const int16_t* z, int n, Tile& tile, int32_t* cost,
                         int32_t* value) {
  alignas(64) int32_t costs[kTile] = {};
  alignas(64) int32_t values[kTile] = {};
  load_latents(tile, z, n);
  add_cost(tile, goal, costs);
  add_value(tile, goal, values);
  for (int c = 0; c < n; ++c) {
    cost[c] = costs[c];
    value[c] = values[c];
  }
}

}  // namespace SDIWM_ISA
}  // namespace sdiwm
